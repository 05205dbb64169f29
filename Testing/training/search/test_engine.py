import pytest
from SlicerHPOLib.job import Cancelled

from training.search.engine import InTurn, trained
from training.search.method import Observation, Suggestion
from training.search.random_search import RandomSearch
from training.search.space import Continuous, Space
from training.search.study import Study

HERE = Suggestion({"x": 0.5}, 3, 9)
LINE = Space((Continuous("x", 0, 1),))


def test_a_training_becomes_its_loss_with_its_time():
    observation = trained(lambda s: s.configuration["x"] * s.resource, HERE)
    assert (observation.trial, observation.resource, observation.loss, observation.reason) == (3, 9, 4.5, None)
    assert observation.cost_s >= 0


def test_what_a_training_raises_is_its_reason_but_a_search_that_is_cancelled_stops():
    def fail(suggestion):
        raise MemoryError("9 of 8 GiB")

    def cancel(suggestion):
        raise Cancelled("stop")

    assert trained(fail, HERE).failed and trained(fail, HERE).reason == "MemoryError: 9 of 8 GiB"
    with pytest.raises(Cancelled):
        trained(cancel, HERE)


def test_in_turn_means_one_at_a_time():
    engine = InTurn(lambda s: 1.0)
    assert engine.slots == 1
    engine.start(HERE)
    assert [o.trial for o in engine.wait()] == [3]


class LastFirst:
    """An engine that does three at a time and returns the last that began, now and then nothing."""

    slots = 3

    def __init__(self, train):
        self.train, self.under_way, self.most, self.turn = train, [], 0, 0

    def start(self, suggestion):
        self.under_way.append(suggestion)
        self.most = max(self.most, len(self.under_way))

    def wait(self):
        self.turn += 1
        return [trained(self.train, self.under_way.pop())] if self.turn % 2 else []


def test_a_study_keeps_all_slots_at_work_and_trains_no_more_than_asked(tmp_path):
    engines = []

    def engine(train):
        engines.append(LastFirst(train))
        return engines[0]

    study = Study(tmp_path / "s.log", "s", LINE, RandomSearch(LINE))
    study.run(lambda s: s.configuration["x"], 7, engine=engine)
    assert engines[0].most == 3 and not engines[0].under_way
    assert sorted(o.trial for o in study.observations) == list(range(7))
    assert [o.trial for o in study.observations] != list(range(7))
    assert all(isinstance(o, Observation) and o.loss == o.configuration["x"] for o in study.observations)
