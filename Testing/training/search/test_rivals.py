"""The packages as methods: what they are told and what becomes of what they suggest. Not how well they search."""

import importlib.util
import math
import warnings

import numpy as np
import pytest

from training.search import rivals
from training.search.listed import ListedSpace
from training.search.method import Observation
from training.search.rivals import BOHB, RIVALS, optuna_gp_constrained, package
from training.search.space import Categorical, Continuous, Integer, Ordinal, Space

GRID = Space((Ordinal("a", (1, 10, 100, 1000)), Categorical("b", ("x", "y")), Integer("c", 1, 3)))
RANGES = (Continuous("rate", 1e-4, 1, log=True), Continuous("decay", 0, 1))
LIST = ListedSpace(RANGES, tuple(Space(RANGES).sample(np.random.default_rng(0), 24)))


def loss(c):
    if "rate" in c:
        return (np.log10(c["rate"]) + 2) ** 2 + c["decay"]
    return (math.log10(c["a"]) - 2) ** 2 + (c["b"] == "x") + c["c"] / 3


def installed(name):
    return pytest.param(
        name, marks=pytest.mark.skipif(not RIVALS[name].installed, reason=f"{name}'s package is not installed")
    )


def search(method, count, failing=lambda c: False):
    """Configurations in the order drawn."""
    seen = []
    for _ in range(count):
        (suggestion,) = method.ask()
        seen.append(suggestion.configuration)
        value = None if failing(seen[-1]) else float(loss(seen[-1]))
        method.tell(Observation(seen[-1], suggestion.trial, value))
    return seen


@pytest.mark.parametrize("name", [installed(name) for name in RIVALS])
@pytest.mark.parametrize("space", [GRID, LIST], ids=["grid", "list"])
def test_a_finite_space_is_drawn_without_repetition_and_a_seed_repeats(name, space):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen, again = (search(RIVALS[name].make(space, 3), 16, lambda c: loss(c) > 4) for _ in range(2))
    assert seen == again
    assert len({space.key(c) for c in seen}) == 16
    for configuration in seen:
        space.check(configuration)


@pytest.mark.parametrize("name", [installed("Optuna TPE"), installed("BoTorch")])
def test_what_a_package_is_told_it_learns_from(name):
    def after(best):
        """Mean place of `a` in what is drawn after the whole rest was told."""
        space = Space((Ordinal("a", tuple(range(40))), Categorical("b", ("x", "y"))))
        method, drawn = RIVALS[name].make(space, 0), []
        for trial, a in enumerate(range(0, 40, 2)):
            method.tell(Observation({"a": a, "b": "x"}, trial, float(abs(a - best)) / 10))
        for _ in range(5):
            (suggestion,) = method.ask()
            drawn.append(suggestion.configuration["a"])
            method.tell(Observation(suggestion.configuration, suggestion.trial, abs(drawn[-1] - best) / 10))
        return np.mean(drawn)

    assert after(5) < after(35) - 10


def test_a_repeat_is_replaced_by_the_nearest_that_is_free():
    method = RIVALS["Optuna TPE"].make(Space((Ordinal("a", tuple(range(9))),)), 0)
    for trial, a in enumerate((3, 4, 5)):
        method.tell(Observation({"a": a}, trial, 1.0))
    assert method.nearest({"a": 7}) == {"a": 7}
    assert method.nearest({"a": 3}) == {"a": 2}
    assert method.nearest({"a": 4}) in ({"a": 2}, {"a": 6})


@pytest.mark.skipif(not RIVALS["Optuna GP"].installed, reason="Optuna or torch is not installed")
def test_constraints_keep_optuna_from_what_fails():
    space = Space((Ordinal("a", tuple(range(12))), Ordinal("b", tuple(range(12)))))

    def failures(make):
        method, failed = make(space, 1), 0
        for _ in range(22):
            (suggestion,) = method.ask()
            c = suggestion.configuration
            fails = c["a"] > 6
            failed += fails
            method.tell(Observation(c, suggestion.trial, None if fails else 1 - c["a"] / 12 + c["b"] / 50))
        return failed

    assert failures(optuna_gp_constrained) < failures(RIVALS["Optuna GP"].make)


@pytest.mark.skipif(not RIVALS["Optuna TPE"].installed, reason="Optuna is not installed")
def test_bohb_draws_from_the_model_of_the_highest_resource_with_enough_results(monkeypatch):
    models = set()

    class Model(rivals.Optuna):
        def learn(self, observation, worst):
            told.append(observation)
            super().learn(observation, worst)

    monkeypatch.setattr(rivals, "Optuna", Model)
    space = Space((Ordinal("a", tuple(range(30))), Ordinal("b", tuple(range(10)))))
    search, seen, told = BOHB(space, 9, seed=2), {}, []
    for _ in range(60):
        told.clear()
        (suggestion,) = search.ask()
        if told:
            enough = [r for r in (1, 3, 9) if sum(at == r for _, at in seen) >= 4]
            assert sorted(o.loss for o in told) == sorted(loss for (_, at), loss in seen.items() if at == enough[-1])
            models.add(enough[-1])
        loss = (suggestion.configuration["a"] - 20) ** 2 + 1 / suggestion.resource
        search.tell(Observation(suggestion.configuration, suggestion.trial, loss, suggestion.resource))
        seen[suggestion.trial, suggestion.resource] = loss
    assert models == {1, 3, 9} and len({t for t, _ in seen}) == len(search.trials.used)


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install optuna"):
        RIVALS["Optuna TPE"].make(GRID, 0)
    assert not RIVALS["SMAC"].installed


def test_a_part_of_a_package_is_not_what_is_installed():
    assert package("scipy.stats").__name__ == "scipy.stats"


def test_conditional_spaces_are_refused():
    space = Space((Categorical("a", ("x", "y")), Ordinal("b", (1, 2), only_if=("a", ("x",)))))
    with pytest.raises(ValueError, match="conditional"):
        rivals.Rival(space)
