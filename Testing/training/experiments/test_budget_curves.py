import numpy as np
import pytest
from matplotlib.figure import Figure

from training.experiments.budget_curves import draw, incumbents, interval, save
from training.search.curve_table import CurveTable
from training.search.grid import GridSearch
from training.search.hyperband import Hyperband
from training.search.space import Ordinal, Space


def test_the_model_of_least_loss_among_the_longest_trained_is_returned():
    space = Space((Ordinal("a", tuple(range(9))),))
    first = np.arange(9.0)
    table = CurveTable(space, np.column_stack([first, first, 10 - first]), np.zeros((9, 3)), np.ones(9))
    for _, observation, chosen in incumbents(table, Hyperband(space, 3, seed=0), 5):
        if observation.resource == 3:
            break
        assert observation.loss >= first[chosen]
    assert chosen == table.row(observation.configuration)  # the first full training, whatever the short ones have


def test_a_failed_training_is_not_returned():
    loss = np.array([[np.nan], [2.0], [3.0], [1.0]])
    table = CurveTable(Space((Ordinal("a", (0, 1, 2, 3)),)), loss, loss, np.ones(4))
    assert [chosen for *_, chosen in incumbents(table, GridSearch(table.space), 9)] == [None, 1, 1, 3]


def test_the_interval_holds_the_mean_in_19_of_20_cases():
    values = np.random.default_rng(0).normal(3.0, 2.0, (50, 4000))
    mean, half = interval(values)
    assert (abs(mean - 3) < half).mean() == pytest.approx(0.94, abs=0.015)  # normal, where Student's t would be exact


def test_more_methods_than_colours_are_told_apart_by_their_lines(tmp_path):
    axis = (figure := Figure()).subplots()
    values = {str(n): np.full((3, 4), n + 1.0) for n in range(15)}
    draw(axis, np.arange(4), values)
    assert len({(line.get_color(), line.get_linestyle()) for line in axis.lines}) == 15
    picture, numbers = save(figure, tmp_path / "new" / "f.png", np.arange(4), values)
    assert picture.exists() and np.genfromtxt(numbers, delimiter=",", skip_header=1)[2, 5] == 5
