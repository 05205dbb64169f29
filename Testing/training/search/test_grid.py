import pytest

from training.search.grid import GridSearch
from training.search.method import Observation
from training.search.space import Continuous, Ordinal, Space

SPACE = Space((Ordinal("a", (1, 2)), Ordinal("b", (1, 2, 3))))


def test_the_grid_is_walked_in_order_the_last_parameter_fastest():
    search = GridSearch(SPACE)
    pairs = [(s.configuration["a"], s.configuration["b"]) for _ in range(3) for s in search.ask(2)]
    assert pairs == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert search.ask() == []


def test_what_an_earlier_process_tried_is_left_out():
    search = GridSearch(SPACE)
    search.tell(Observation({"a": 1, "b": 2}, 0, 1.0))
    assert [(s.trial, s.configuration["b"]) for s in search.ask(2)] == [(1, 1), (2, 3)]


def test_an_infinite_space_has_no_grid():
    with pytest.raises(ValueError, match="ordinal"):
        GridSearch(Space((Continuous("x", 0, 1),)))
