import numpy as np
import pytest

from training.search.importance import importance
from training.search.space import Categorical, Continuous, Integer, Ordinal, Space

SPACE = Space(
    (
        Continuous("a", 0, 1),
        Ordinal("b", (1, 2, 3)),
        Categorical("c", ("x", "y")),
        Integer("d", 1, 100, log=True),
    )
)


def values(function):
    return lambda configurations: np.array([float(function(**c)) for c in configurations])


def test_of_a_sum_each_parameter_explains_its_own_variance():
    found = importance(SPACE, values(lambda a, b, c, d: 6 * a + b + 2 * (c == "y")))
    variance = np.array([36 / 12, 2 / 3, 1, 0])
    np.testing.assert_allclose(found.main, variance / variance.sum(), atol=0.03)
    np.testing.assert_allclose(found.total, variance / variance.sum(), atol=0.03)
    assert found.names == SPACE.names


def test_what_matters_only_together_is_seen_in_the_total():
    found = importance(SPACE, values(lambda a, b, c, d: (a - 0.5) * (1 if c == "y" else -1)))
    np.testing.assert_allclose(found.main, 0, atol=0.03)
    np.testing.assert_allclose(found.total, [1, 0, 1, 0], atol=0.03)


def test_it_is_the_decomposition_over_all_configurations_of_a_finite_space():
    space = Space((Ordinal("a", (0, 1, 2, 3)), Categorical("b", ("x", "y", "z"))))
    table = np.random.default_rng(1).random((4, 3))
    found = importance(space, values(lambda a, b: table[a, "xyz".index(b)]))
    np.testing.assert_allclose(
        found.main, [table.mean(1).var() / table.var(), table.mean(0).var() / table.var()], atol=0.03
    )
    np.testing.assert_allclose(
        found.total, [table.var(0).mean() / table.var(), table.var(1).mean() / table.var()], atol=0.03
    )


def test_a_logarithmic_range_is_uniform_in_the_logarithm():
    found = importance(SPACE, values(lambda a, b, c, d: np.log(d) + a))
    expected = np.log(100) ** 2 / 12
    assert found.main[3] == pytest.approx(expected / (expected + 1 / 12), abs=0.03)


def test_a_conditional_parameter_counts_where_it_is_active():
    space = Space((Categorical("kind", ("x", "y")), Continuous("rate", 0, 1, only_if=("kind", ("y",)))))
    found = importance(space, values(lambda kind, rate=0.5: rate))
    np.testing.assert_allclose(found.main, [0, 0.5], atol=0.03)  # of variance 1/24, half is the interaction
    np.testing.assert_allclose(found.total, [0.5, 1], atol=0.03)


def test_a_constant_has_no_variance_to_explain():
    assert importance(SPACE, values(lambda **_: 3.0)) is None


def test_the_only_parameter_explains_everything():
    found = importance(Space((Continuous("a", 0, 1),)), values(lambda a: np.sin(a)))
    assert found.main == found.total == [1]
