import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import optuna
import pytest
from SlicerHPOLib.job import Cancelled

from training.search import study as study_module
from training.search.bayesian_hyperband import BayesianHyperband
from training.search.hyperband import Hyperband
from training.search.method import Observation
from training.search.random_search import RandomSearch
from training.search.space import Categorical, Continuous, Integer, Ordinal, Space
from training.search.study import Study

SPACE = Space(
    (
        Continuous("rate", 1e-4, 1.0, log=True),
        Integer("width", 1, 64, log=True),
        Ordinal("batch", (16, 32, 64)),
        Categorical("kind", ("a", "b")),
        Integer("depth", 1, 4, only_if=("kind", ("b",))),
    )
)
LINE = Space((Continuous("x", 0, 1),))
METHODS = {
    "random": lambda: RandomSearch(LINE, seed=3),
    "hyperband": lambda: Hyperband(LINE, 9, seed=3),
    "bayesian-hyperband": lambda: BayesianHyperband(LINE, 9, seed=3),
}


def loss(suggestion):
    x = suggestion.configuration["x"]
    return (x - 0.3) ** 2 + 1 / (suggestion.resource or 9)


def trail(study):
    return [(o.trial, o.resource, o.configuration["x"], o.loss) for o in study.observations]


@pytest.mark.parametrize("kind", METHODS)
def test_a_study_that_is_opened_again_goes_on_as_if_it_had_not_stopped(tmp_path, kind):
    whole = Study(tmp_path / "whole.log", "s", LINE, METHODS[kind]())
    whole.run(loss, 24)
    for end in (5, 11, 24):
        stopped = Study(tmp_path / "stopped.log", "s", LINE, METHODS[kind]())
        stopped.run(loss, end)
        assert len(stopped.observations) == end
    assert trail(stopped) == trail(whole)
    assert stopped.best == min((o for o in stopped.observations if o.resource in (None, 9)), key=lambda o: o.loss)


def test_every_kind_of_parameter_comes_back_as_it_was(tmp_path):
    study = Study(tmp_path / "s.log", "s", SPACE, RandomSearch(SPACE))
    asked = study.ask(20)
    for suggestion in asked:
        study.tell(Observation(suggestion.configuration, suggestion.trial, 1.0, cost_s=2.5))
    again = Study(tmp_path / "s.log", "s", SPACE, RandomSearch(SPACE)).observations
    assert [o.configuration for o in again] == [s.configuration for s in asked]
    assert all(o.cost_s == 2.5 for o in again) and all(SPACE.check(o.configuration) is None for o in again)


WORKER = """
    import sys, time
    from training.search.hyperband import Hyperband
    from training.search.space import Continuous, Space
    from training.search.study import Study
    space = Space((Continuous("x", 0, 1),))
    study = Study(sys.argv[1], "s", space, Hyperband(space, 9, seed=3))
    def train(suggestion):
        x = suggestion.configuration["x"]
        if len(study.observations) >= 7:
            print(suggestion.trial, suggestion.resource, x, flush=True)
            time.sleep(60)
        return (x - 0.3) ** 2 + 1 / suggestion.resource
    study.run(train, 24)
"""


def test_kill_9_loses_only_the_training_that_ran_which_is_taken_up_again(tmp_path):
    whole = Study(tmp_path / "whole.log", "s", LINE, METHODS["hyperband"]())
    whole.run(loss, 24)
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), tmp_path / "s.log"], stdout=subprocess.PIPE, text=True
    )
    trial, resource, x = worker.stdout.readline().split()
    meanwhile = Study(tmp_path / "s.log", "s", LINE, METHODS["hyperband"]())
    assert len(meanwhile.observations) == 7
    assert not meanwhile._left()  # the worker is alive: its training stays with it
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    with (tmp_path / "s.log").open("ab") as file:
        file.write(b'{"op_code":6,"wor')  # killed while it wrote
    resumed = Study(tmp_path / "s.log", "s", LINE, METHODS["hyperband"]())
    first = []
    resumed.run(lambda s: first.append(s) or loss(s), 24)
    assert (first[0].trial, first[0].resource, first[0].configuration["x"]) == (int(trial), float(resource), float(x))
    assert trail(resumed) == trail(whole)
    assert len({(o.trial, o.resource) for o in resumed.observations}) == 24


def test_a_worker_on_another_machine_is_alive_while_it_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "BEAT_S", 0.02)
    monkeypatch.setattr(study_module, "_worker", lambda: "elsewhere:1")
    far, path = Study(tmp_path / "s.log", "s", LINE, METHODS["random"]()), tmp_path / "s.log"
    seen = []

    def slow(suggestion):
        for _ in range(2):
            (record,) = optuna.load_study(study_name="s", storage=far.optuna._storage).trials[-1:]
            seen.append(record.user_attrs["seen"])
            time.sleep(0.3)
        near = Study(path, "s", LINE, METHODS["random"]())
        assert not near._left()  # it has just been heard of
        monkeypatch.setattr(study_module, "SILENT_S", -1.0)
        (left,) = near.ask(1)  # it is believed dead
        assert (left.trial, left.configuration) == (suggestion.trial, suggestion.configuration)
        near.tell(Observation(left.configuration, left.trial, 7.0, left.resource))
        return 8.0

    far.run(slow, 1)  # its own result comes too late, and does no harm
    assert seen[0] < seen[1]
    assert [o.loss for o in far.observations] == [7.0]
    with pytest.raises(study_module.SupersededError):
        far.tell(far.observations[0])


def test_what_a_killed_worker_left_is_taken_up_by_one_that_was_there_all_the_time(tmp_path):
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), tmp_path / "s.log"], stdout=subprocess.PIPE, text=True
    )
    trial, resource, _ = worker.stdout.readline().split()
    others = [Study(tmp_path / "s.log", "s", LINE, METHODS["hyperband"]()) for _ in range(2)]
    (before,) = others[0].ask()
    assert (before.trial, before.resource) != (int(trial), float(resource))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    (after,) = others[0].ask()
    assert (after.trial, after.resource) == (int(trial), float(resource))
    assert (after.trial, after.resource) != ((third := others[0].ask()[0]).trial, third.resource)


def test_two_workers_share_a_study_and_train_nothing_twice(tmp_path):
    studies = [Study(tmp_path / "s.log", "s", LINE, METHODS["hyperband"]()) for _ in range(2)]
    asked = []
    for n in range(40):
        (suggestion,) = studies[n % 2].ask()
        asked.append((suggestion.trial, suggestion.resource))
        studies[n % 2].tell(Observation(suggestion.configuration, *asked[-1][:1], loss(suggestion), asked[-1][1]))
    assert len(set(asked)) == 40
    assert trail(studies[0]) == trail(studies[1])
    assert asked[:13] == [(k, 1) for k in range(9)] + [asked[9], asked[10], asked[11], asked[12]]
    assert [r for _, r in asked[9:13]] == [3, 3, 3, 9]


def test_what_training_raises_is_a_failure_with_its_reason(tmp_path):
    study = Study(tmp_path / "s.log", "s", LINE, METHODS["random"]())

    def train(suggestion):
        if suggestion.trial == 1:
            raise MemoryError("11 GiB of 8")
        return np.nan if suggestion.trial == 2 else 1.0

    study.run(train, 4)
    assert [o.reason for o in study.observations] == [None, "MemoryError: 11 GiB of 8", "the loss is nan", None]
    again = Study(tmp_path / "s.log", "s", LINE, METHODS["random"]())
    assert [o.reason for o in again.observations] == [o.reason for o in study.observations]


def test_if_every_training_fails_the_search_stops_and_says_why(tmp_path):
    def train(suggestion):
        raise RuntimeError("no data")

    with pytest.raises(ValueError, match=r"All 10 trainings failed.*no data"):
        Study(tmp_path / "s.log", "s", LINE, METHODS["random"]()).run(train, 100)


def test_a_cancelled_training_is_left_to_go_on(tmp_path):
    def train(suggestion):
        raise Cancelled("stop")

    study = Study(tmp_path / "s.log", "s", LINE, METHODS["random"]())
    with pytest.raises(Cancelled):
        study.run(train, 3)
    resumed = Study(tmp_path / "s.log", "s", LINE, METHODS["random"]())
    assert not resumed.observations and [s.trial for s in resumed.ask(2)] == [0, 1]


def test_another_space_or_other_settings_under_the_name_are_refused(tmp_path):
    Study(tmp_path / "s.log", "s", LINE, METHODS["random"](), {"seed": 3}).run(loss, 2)
    with pytest.raises(ValueError, match="another space"):
        Study(tmp_path / "s.log", "s", SPACE, RandomSearch(SPACE), {"seed": 3})
    with pytest.raises(ValueError, match="another settings"):
        Study(tmp_path / "s.log", "s", LINE, METHODS["random"](), {"seed": 4})
    Study(tmp_path / "s.log", "other", SPACE, RandomSearch(SPACE))  # under its own name it may be beside
    assert len(Study(tmp_path / "s.log", "s", LINE, METHODS["random"](), {"seed": 3}).observations) == 2


def test_a_result_nobody_awaits_is_refused_and_nothing_lost(tmp_path):
    study = Study(tmp_path / "s.log", "s", LINE, METHODS["random"]())
    (suggestion,) = study.ask()
    observation = Observation(suggestion.configuration, suggestion.trial, 1.0)
    with pytest.raises(ValueError, match="no result of trial 7"):
        study.tell(Observation(suggestion.configuration, 7, 1.0))
    study.tell(observation)
    with pytest.raises(ValueError, match="no result of trial 0"):
        study.tell(observation)
    assert trail(study) == [(0, None, suggestion.configuration["x"], 1.0)]


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    (tmp_path / "s.log").write_text("loss,rate\n1,2\n")
    with pytest.raises(ValueError, match="no journal"):
        Study(tmp_path / "s.log", "s", LINE, METHODS["random"]())


def test_optuna_reads_the_study(tmp_path):
    Study(f"sqlite:///{tmp_path}/s.db", "s", LINE, METHODS["hyperband"]()).run(loss, 14)
    study = optuna.load_study(storage=f"sqlite:///{tmp_path}/s.db", study_name="s")
    states = [trial.state.name for trial in study.trials]
    assert set(states) == {"COMPLETE", "PRUNED"} and len(states) == 14
    assert study.best_value == min(t.value for t in study.trials if t.state.name == "COMPLETE")
