import numpy as np
import pytest

from training.search.method import Observation
from training.search.random_search import RandomSearch
from training.search.space import Categorical, Continuous, Ordinal, Space

SPACE = Space(
    (
        Ordinal("a", (1, 2, 3, 4)),
        Categorical("kind", ("x", "y")),
        Ordinal("only_x", (1, 2, 3), only_if=("kind", ("x",))),
    )
)


def test_a_finite_space_is_covered_once_and_then_nothing_comes():
    search = RandomSearch(SPACE, seed=3)
    asked = [s.configuration for _ in range(4) for s in search.ask(5)]
    assert sorted(map(SPACE.key, asked), key=str) == sorted(map(SPACE.key, SPACE.enumerate()), key=str)
    assert search.ask() == []


def test_the_same_seed_gives_the_same_order_and_another_seed_another():
    orders = [[s.configuration for s in RandomSearch(SPACE, seed).ask(16)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_asking_at_once_or_one_by_one_is_the_same():
    one_by_one = RandomSearch(SPACE, seed=1)
    assert RandomSearch(SPACE, seed=1).ask(6) == [one_by_one.ask()[0] for _ in range(6)]


def test_a_search_that_is_told_an_earlier_one_goes_on_like_it():
    whole = RandomSearch(SPACE, seed=1).ask(10)
    resumed = RandomSearch(SPACE, seed=1)
    for n in (0, 2, 3):
        resumed.tell(Observation(whole[n].configuration, n, 0.0))
    resumed.take_up(whole[1])
    assert resumed.ask(6) == whole[4:]


def test_first_draws_are_uniform():
    space = Space((Ordinal("a", tuple(range(5))),))
    counts = np.bincount([RandomSearch(space, seed).ask()[0].configuration["a"] for seed in range(1000)], minlength=5)
    assert counts.min() > 150 and counts.max() < 250  # 200 expected, 4 standard deviations are 51


def test_infinite_spaces_are_sampled():
    asked = RandomSearch(Space((Continuous("x", 1e-5, 1.0, log=True),))).ask(50)
    values = np.array([s.configuration["x"] for s in asked])
    assert len(set(values)) == 50 and 0.2 < (values < 10**-2.5).mean() < 0.8


def test_failed_trials_are_not_suggested_again():
    search = RandomSearch(SPACE)
    for suggestion in search.ask(10):
        search.tell(Observation(suggestion.configuration, suggestion.trial, None, reason="out of memory"))
    assert len(search.ask(100)) == SPACE.size - 10


def test_an_empty_space_is_refused():
    with pytest.raises(ValueError, match="at least one parameter"):
        RandomSearch(Space(()))
