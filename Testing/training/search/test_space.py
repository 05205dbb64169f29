"""Spaces: what they hold, their encoding, their neighbours, their description."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.search.space import Categorical, Continuous, Integer, Ordinal, Space

OPTIMISER = Space(
    (
        Continuous("rate", 1e-4, 1.0, log=True),
        Integer("layers", 1, 3),
        Categorical("optimiser", ("sgd", "adam", "none")),
        Continuous("momentum", 0.0, 0.9, only_if=("optimiser", ("sgd",))),
        Ordinal("batch", (16, 64, 256)),
    )
)
NESTED = Space(
    (
        Categorical("network", ("tree", "perceptron")),
        Ordinal("depth", (1, 2, 3), only_if=("network", ("tree",))),
        Categorical("skip", (False, True), only_if=("network", ("perceptron",))),
        Ordinal("skipped", (1, 2, 4, 8), only_if=("skip", (True,))),
        Integer("seed", 0, 1),
    )
)


def drawn(space, seed, count=20):
    return space.sample(np.random.default_rng(seed), count)


def test_each_kind_of_parameter_is_encoded_by_hand():
    (row,) = OPTIMISER.encode([{"rate": 1e-2, "layers": 3, "optimiser": "sgd", "momentum": 0.45, "batch": 16}])
    np.testing.assert_allclose(row, [0.5, 1.0, 1, 0, 0, 0.5, 0.0])
    (row,) = OPTIMISER.encode([{"rate": 1e-4, "layers": 2, "optimiser": "none", "batch": 64}])
    np.testing.assert_allclose(row, [0.0, 0.5, 0, 0, 1, 0.5, 0.5])


def test_only_the_columns_of_categories_have_no_order():
    assert OPTIMISER.ordered.tolist() == [True, True, False, False, False, True, True]


@given(st.integers(0, 10**6), st.sampled_from([OPTIMISER, NESTED]))
def test_decoding_undoes_encoding(seed, space):
    configurations = drawn(space, seed)
    rows = space.encode(configurations)
    assert rows.shape == (20, space.dimension)
    assert rows.min() >= 0 and rows.max() <= 1
    for before, after in zip(configurations, space.decode(rows), strict=True):
        assert before.keys() == after.keys()
        for name, value in before.items():
            assert after[name] == (pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value)


@given(st.lists(st.floats(-1, 2), min_size=7, max_size=7))
def test_any_row_decodes_to_a_configuration_of_the_space(row):
    (configuration,) = OPTIMISER.decode(np.array([row]))
    OPTIMISER.check(configuration)


def test_conditions_decide_what_is_listed_and_counted():
    listed = NESTED.enumerate()
    assert NESTED.size == len(listed) == 2 * (3 + 1 + 4)
    assert len({NESTED.key(c) for c in listed}) == len(listed)
    for configuration in listed:
        NESTED.check(configuration)
    assert listed[0] == {"network": "tree", "depth": 1, "seed": 0}
    assert {"network": "perceptron", "skip": True, "skipped": 8, "seed": 1} in listed


def test_the_size_of_a_product_is_the_product_of_the_sizes():
    space = Space((Ordinal("a", tuple(range(7))), Categorical("b", ("x", "y")), Integer("c", 3, 9)))
    assert space.size == 98 == len(space.enumerate())


def test_an_infinite_space_has_no_size_and_cannot_be_listed():
    assert OPTIMISER.size is None
    with pytest.raises(ValueError, match="rate, momentum"):
        OPTIMISER.enumerate()


@given(st.integers(0, 10**6), st.sampled_from([OPTIMISER, NESTED]))
def test_neighbours_are_other_configurations_of_the_space(seed, space):
    for configuration in drawn(space, seed, 3):
        neighbours = space.neighbours(configuration)
        keys = {space.key(n) for n in neighbours}
        assert space.key(configuration) not in keys and len(keys) == len(neighbours)
        for neighbour in neighbours:
            space.check(neighbour)


def test_neighbours_on_a_grid_are_one_step_away():
    space = Space((Ordinal("a", (1, 2, 4)), Categorical("b", ("x", "y", "z"))))
    around = space.neighbours({"a": 1, "b": "y"})
    assert around == [{"a": 2, "b": "y"}, {"a": 1, "b": "x"}, {"a": 1, "b": "z"}]


def test_a_choice_brings_the_middle_of_what_it_makes_active():
    around = NESTED.neighbours({"network": "tree", "depth": 1, "seed": 0})
    assert {"network": "perceptron", "skip": False, "seed": 0} in around
    around = NESTED.neighbours({"network": "perceptron", "skip": True, "skipped": 1, "seed": 0})
    assert {"network": "tree", "depth": 2, "seed": 0} in around


def test_on_a_finite_space_neighbours_reach_everything():
    reached, new = set(), [NESTED.enumerate()[0]]
    while new:
        configuration = new.pop()
        if NESTED.key(configuration) not in reached:
            reached.add(NESTED.key(configuration))
            new += NESTED.neighbours(configuration)
    assert len(reached) == NESTED.size


def test_draws_are_uniform_in_the_logarithm_where_asked():
    rates = [c["rate"] for c in drawn(OPTIMISER, 0, 4000)]
    assert np.mean(np.array(rates) < 1e-2) == pytest.approx(0.5, abs=0.04)
    layers = np.bincount([c["layers"] for c in drawn(OPTIMISER, 1, 4000)])[1:] / 4000
    np.testing.assert_allclose(layers, 1 / 3, atol=0.04)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([OPTIMISER, NESTED]))
def test_a_space_saved_as_json_is_the_same_space(seed, space):
    again = Space.from_json(json.loads(json.dumps(space.as_json())))
    assert again == space
    for configuration in drawn(space, seed, 3):
        assert again.key(json.loads(json.dumps(configuration))) == space.key(configuration)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ((), "empty"),
        ((Ordinal("a", (1, 2)), Ordinal("a", (1, 2))), "a name of its own"),
        ((Ordinal("a", (1, 2), only_if=("b", (1,))), Ordinal("b", (1, 2))), "no earlier parameter"),
        ((Continuous("b", 0, 1), Ordinal("a", (1, 2), only_if=("b", (1,)))), "listed values"),
        ((Ordinal("b", (1, 2)), Ordinal("a", (1, 2), only_if=("b", (3,)))), "being one of"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(parameters, complaint):
    with pytest.raises(ValueError, match=complaint):
        Space(parameters)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Continuous("a", 1, 1),
        lambda: Continuous("a", 0, 1, log=True),
        lambda: Continuous("a", 0, float("inf")),
        lambda: Integer("a", 1.5, 3),
        lambda: Ordinal("a", ()),
        lambda: Categorical("a", ("x", "x")),
        lambda: Categorical("a", ("x", ["y"])),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(make):
    with pytest.raises(ValueError, match="a: "):
        make()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"rate": 2.0}, "no value of"),
        ({"layers": 1.5}, "no value of"),
        ({"layers": True}, "no value of"),
        ({"optimiser": "adam"}, "must not have a value of 'momentum'"),
        ({"dropout": 0.1}, "no parameter dropout"),
    ],
)
def test_what_is_no_configuration_is_refused(change, complaint):
    good = {"rate": 0.1, "layers": 1, "optimiser": "sgd", "momentum": 0.1, "batch": 16}
    with pytest.raises(ValueError, match=complaint):
        OPTIMISER.encode([good | change])


def test_the_key_of_what_is_no_configuration_is_refused():
    with pytest.raises(ValueError, match="'sgdm' is no value of"):
        OPTIMISER.key({"rate": 0.1, "layers": 1, "optimiser": "sgdm", "batch": 16})


def test_a_missing_value_is_named():
    with pytest.raises(ValueError, match="must have a value of 'layers'"):
        OPTIMISER.check({"rate": 0.1, "optimiser": "adam", "batch": 16})


@pytest.mark.parametrize("described", [{}, {"parameters": [{"kind": "spline", "name": "a"}]}, {"parameters": [{}]}, []])
def test_a_description_of_something_else_is_refused(described):
    with pytest.raises(ValueError, match="describes no space"):
        Space.from_json(described)


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match="rows of 7 numbers"):
        OPTIMISER.decode(np.zeros((2, 3)))
