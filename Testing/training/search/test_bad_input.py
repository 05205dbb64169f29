"""Every method, through a study, with what should not be: clear errors, and nothing lost."""

import os
import re

import numpy as np
import pytest

from training.search.bayesian_hyperband import BayesianHyperband, SourceCombination
from training.search.feasibility import Limit
from training.search.grid import GridSearch
from training.search.method import Observation
from training.search.methods import METHODS
from training.search.space import Categorical, Ordinal, Space
from training.search.study import Study

FULL = 9
KINDS = METHODS | {
    "grid": lambda space, resource, seed, limits: GridSearch(space, seed),
    "source": lambda space, resource, seed, limits: SourceCombination(space, resource, seed=seed, limits=limits),
    "asynchronous": lambda space, resource, seed, limits: BayesianHyperband(
        space, resource, seed=seed, asynchronous=True, limits=limits
    ),
}
SPACE = Space((Ordinal("a", (1, 2, 3, 4, 5, 6)), Ordinal("b", (1, 2, 3)), Categorical("c", ("x", "y"))))
SMALL = Space((Ordinal("a", (1, 2, 3)),))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make(kind):
    return lambda space=SPACE, limits=(): KINDS[kind](space, FULL, 0, limits)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)


def opened(path, method, space=SPACE):
    return Study(path / "s.log", "s", space, method, {"seed": 0})


def loss(suggestion):
    c = suggestion.configuration
    return (c["a"] - 4) ** 2 + c["b"] + 3 / (suggestion.resource or FULL)


def test_an_empty_space_is_refused():
    for empty in (lambda: Space(()), lambda: Ordinal("a", ()), lambda: Categorical("a", ())):
        with pytest.raises(ValueError, match="at least one"):
            empty()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "grid"])
def test_limits_that_no_configuration_keeps_are_refused(make, tmp_path):
    limit = Limit("memory in MiB", lambda c: 2.0, most=1.0)
    with pytest.raises(ValueError, match="memory in MiB"):
        opened(tmp_path, make(limits=[limit])).run(loss, 5)


@pytest.mark.parametrize("failure", ["raises", "nan", "infinite", "huge", "text"])
def test_if_all_trainings_fail_the_search_stops_with_the_reason_and_keeps_them(make, tmp_path, failure):
    def train(suggestion):
        if failure == "raises":
            raise MemoryError("9 GiB of 8")
        return {"nan": np.nan, "infinite": -np.inf, "huge": 1e39, "text": "diverged"}[failure]

    reason = {"raises": "9 GiB of 8", "nan": "nan", "infinite": "-inf", "huge": "1e+39", "text": "could not convert"}[
        failure
    ]
    with pytest.raises(ValueError, match=f"All 10 trainings failed, .*{re.escape(reason)}"):
        opened(tmp_path, make()).run(train, 30)
    again = opened(tmp_path, make())
    assert len(again.observations) == 10 and all(reason in o.reason for o in again.observations)
    assert again.best is None and again.ask()  # whoever has put it right goes on


def test_if_all_of_a_small_space_fails_that_is_said_too(make, tmp_path):
    with pytest.raises(ValueError, match=r"All 3 trainings failed.*the loss is nan"):
        opened(tmp_path, make(SMALL), SMALL).run(lambda s: np.nan, 30)


def test_losses_that_are_not_numbers_are_failures_among_others(make, tmp_path):
    study = opened(tmp_path, make())
    best = study.run(lambda s: np.nan if s.configuration["c"] == "x" and s.configuration["b"] > 1 else loss(s), 60)
    assert all(o.failed == (o.configuration["c"] == "x" and o.configuration["b"] > 1) for o in study.observations)
    assert any(o.failed for o in study.observations) and not best.failed
    assert len({(o.trial, o.resource) for o in study.observations}) == len(study.observations)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-300, 3e38])
def test_constant_losses_are_searched_to_the_end(make, tmp_path, value):
    study = opened(tmp_path, make())
    best = study.run(lambda s: value, 45)
    assert best.loss == value and len({(o.trial, o.resource) for o in study.observations}) >= 36


def test_losses_of_any_size_are_searched(make, tmp_path):
    sizes = 10.0 ** np.linspace(-300, 37, 6)
    study = opened(tmp_path, make())
    study.run(lambda s: sizes[s.configuration["a"] - 1] * s.configuration["b"], 30)
    assert len(study.observations) == 30 and not any(o.failed for o in study.observations)


def test_a_result_told_twice_is_refused_and_nothing_lost(make, tmp_path):
    study = opened(tmp_path, make())
    (suggestion,) = study.ask()
    observation = Observation(suggestion.configuration, suggestion.trial, 1.0, suggestion.resource)
    study.tell(observation)
    with pytest.raises(ValueError, match="awaits no result"):
        study.tell(observation)
    study.run(loss, 12)
    assert [o.loss for o in opened(tmp_path, make()).observations] == [o.loss for o in study.observations]


def test_results_that_two_workers_both_have_count_once(make, tmp_path):
    import optuna

    study = opened(tmp_path, make())
    study.run(loss, 8)
    twin = study.optuna.get_trials()[3]  # two workers that asked a database at the same moment
    twin.user_attrs["cost_s"] = 7.0
    study.optuna.add_trial(twin)
    again = opened(tmp_path, make())
    again.run(loss, 16)
    assert len({(o.trial, o.resource) for o in again.observations}) == len(again.observations) == 16
    assert len(optuna.load_study(storage=study.optuna._storage, study_name="s").trials) == 17  # kept in the file


def test_one_configuration_with_two_losses_is_searched_on(make):
    search = make()
    told = []
    for _ in range(12):
        (suggestion,) = search.ask()
        told.append(suggestion)
        search.tell(Observation(suggestion.configuration, suggestion.trial, loss(suggestion), suggestion.resource))
    other = make()
    for n, s in enumerate(told):
        other.tell(Observation(s.configuration, 2 * s.trial, loss(s), s.resource))
        other.tell(Observation(s.configuration, 2 * s.trial + 1, loss(s) + 0.1 * n, s.resource))
    asked = []
    for _ in range(12):
        for suggestion in other.ask():
            asked.append((suggestion.trial, suggestion.resource))
            other.tell(Observation(suggestion.configuration, suggestion.trial, loss(suggestion), suggestion.resource))
    assert len(asked) == len(set(asked)) == 12


def test_a_study_of_another_space_under_the_name_is_refused_and_kept(make, tmp_path):
    opened(tmp_path, make()).run(loss, 6)
    with pytest.raises(ValueError, match=r"a study 's' with another space.*another name"):
        opened(tmp_path, make(SMALL), SMALL)
    again = opened(tmp_path, make())
    again.run(loss, 8)
    assert len(again.observations) == 8


@pytest.mark.parametrize("content", [b"notes of mine\nwithout an end", b"SQLite format 3\0\n\0"])
def test_a_file_of_another_kind_is_refused_and_kept(make, tmp_path, content):
    (tmp_path / "s.log").write_bytes(content)
    with pytest.raises(ValueError, match="it is no journal"):
        opened(tmp_path, make())
    assert (tmp_path / "s.log").read_bytes() == content
