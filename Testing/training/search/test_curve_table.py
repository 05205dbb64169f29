import numpy as np
import pytest

from training.search.curve_table import CurveTable, load_curves, save_curves
from training.search.grid import GridSearch
from training.search.hyperband import Hyperband, brackets, cost
from training.search.space import Ordinal, Space

SPACE = Space((Ordinal("a", (1, 2, 3)),))


def a_table():
    loss = np.array([[3.0, 2.0], [2.5, np.nan], [1.25, 0.125]])
    return CurveTable(SPACE, loss, np.array([[0.5, 0.25], [0.5, np.nan], [0.5, 0.125]]), np.array([1.0, 2.0, 3.0]))


def test_a_table_comes_back_as_it_was_stored(tmp_path):
    save_curves(a_table(), tmp_path / "t.npz")
    again = load_curves(tmp_path / "t.npz")
    assert again.space == SPACE and again.resources == 2
    np.testing.assert_array_equal(again.loss, a_table().loss)
    np.testing.assert_allclose(again.error, a_table().error, atol=1 / 65535)
    np.testing.assert_array_equal(again.seconds, a_table().seconds)


def test_replaying_gives_the_stored_losses_and_failures():
    seen = [(spent, o.loss, o.cost_s) for spent, o in a_table().replay(GridSearch(SPACE))]
    assert seen == [(1.0, 2.0, 2.0), (2.0, None, 4.0), (3.0, 0.125, 6.0)]


def test_a_trial_that_goes_on_costs_what_is_new():
    table = CurveTable(
        Space((Ordinal("a", tuple(range(100))),)), *np.tile(np.arange(1.0, 10), (2, 100, 1)), np.ones(100)
    )
    trainings = sum(rung.trainings for bracket in brackets(9) for rung in bracket)
    spent = [s for s, _ in table.replay(Hyperband(table.space, 9), budget=100)]
    assert spent[trainings - 1] == pytest.approx(sum(map(cost, brackets(9))) / 9)
    assert spent[0] == pytest.approx(1 / 9) and spent[-1] <= 100


def test_the_budget_is_not_exceeded():
    assert [spent for spent, _ in a_table().replay(GridSearch(SPACE), budget=2.5)] == [1.0, 2.0]


def test_tables_that_do_not_fit_their_space_or_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="do not fit"):
        CurveTable(SPACE, np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2))
    (tmp_path / "t.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no table"):
        load_curves(tmp_path / "t.npz")
