import numpy as np
import pytest

from training.__main__ import main
from training.experiments import figure_2_8
from training.experiments.figure_2_7 import METHODS, chosen
from training.experiments.figure_2_8 import Search, curves, describe, read, search, searches, write
from training.search.curve_table import CurveTable, save_curves
from training.search.grid import GridSearch
from training.search.hyperband import Hyperband
from training.search.space import Ordinal, Space

from .test_figure_2_7 import a_table


def test_a_model_counts_once_with_the_loss_of_its_full_training():
    table = a_table()
    found = search(table, Hyperband(table.space, 9, seed=0), 6)
    method = Hyperband(table.space, 9, seed=0)
    told = [observation for _, observation in table.replay(method, 6)]
    spent, drawn = found.draws
    trials = list(dict.fromkeys(o.trial for o in told))
    np.testing.assert_allclose(drawn, [table.final[table.row(method.trials.configurations[t])] for t in trials])
    assert len(found.spent) == len(told) > len(drawn) and (np.diff(spent) > 0).all()
    full = [o.loss for o in told if o.resource == 9]
    assert found.best[-1] == min(full)


def test_a_model_that_diverges_has_the_largest_loss():
    loss = np.array([[np.nan], [2.0], [3.0], [1.0]])
    table = CurveTable(Space((Ordinal("a", (0, 1, 2, 3)),)), loss, loss, np.ones(4))
    found = search(table, GridSearch(table.space), 9)
    np.testing.assert_allclose(found.drawn, [3, 2, 3, 1])
    np.testing.assert_allclose(found.best, [np.nan, 2, 2, 1])


def test_curves_are_what_was_reached_at_each_budget():
    spent = np.array([0.5, 1.0, 1.5, 2.5])
    found = {("t", "m", 0, 3.0): Search(spent, np.array([4.0, np.nan, 2.0, 3.0]), np.array([4.0, 3.0, 2.0, 2.0]))}
    at = np.arange(4, 13) / 4  # 1, 1.25, ..., 3
    np.testing.assert_allclose(curves("figure-2.8", found)["m"][0], np.where(at < 1.5, 4, 3))
    np.testing.assert_allclose(curves("figure-2.9", found)["m"][0], np.where(at < 1.5, 4, 3))
    np.testing.assert_allclose(curves("figure-2.10", found)["m"][0], np.where(at < 1.5, 3, 2))
    assert describe("figure-2.10", found).splitlines()[2].startswith("| m | 3.0000 ±")


def test_searches_go_on_with_what_the_folder_has(tmp_path, monkeypatch):
    table, methods = a_table(), chosen(["random", "Hyperband"])
    first = searches("t", table, tmp_path, 2, 4, methods)
    done = []
    monkeypatch.setattr(figure_2_8, "search", lambda *args: done.append(args) or search(*args))
    again = searches("t", table, tmp_path, 3, 4, methods)
    assert len(done) == 2 and list(again) == [("t", name, seed, 4.0) for seed in range(3) for name in methods]
    for key in first:
        np.testing.assert_allclose(again[key].drawn, first[key].drawn, rtol=1e-4)
    searches("other", table, tmp_path, 1, 4, methods)
    assert len(read(tmp_path / "searches.csv")) == 8


def test_searches_that_another_process_adds_meanwhile_are_kept(tmp_path):
    table, methods = a_table(), chosen(["random"])

    def slow(table, seed):
        searches("other", table, tmp_path, 1, 2, methods)
        return methods["random"](table, seed)

    searches("t", table, tmp_path, 1, 2, {"slow": slow})
    assert set(read(tmp_path / "searches.csv")) == {("t", "slow", 0, 2.0), ("other", "random", 0, 2.0)}


def test_what_is_chosen_from_the_losses_gets_better_and_what_is_random_does_not(tmp_path):
    found = searches("t", a_table(), tmp_path, 4, 6, METHODS)
    last = {name: values[:, -1].mean() for name, values in curves("figure-2.9", found).items()}
    assert last["Bayesian"] < last["random"] and last["combination"] < last["Hyperband"]
    assert all((np.diff(values) <= 0).all() for values in [curves("figure-2.10", found)["random"]])


@pytest.mark.parametrize("figure", figure_2_8.CURVES)
def test_the_figure_and_its_numbers_are_written(tmp_path, figure):
    found = searches("t", a_table(), tmp_path, 2, 3, chosen(["random", "Hyperband", "DEHB"]))
    picture, numbers = write(figure, found, tmp_path)
    assert picture.name == f"{figure}.png" and picture.stat().st_size > 5000
    rows = np.genfromtxt(numbers, delimiter=",", skip_header=1)
    np.testing.assert_allclose(rows[:, 2], curves(figure, found)["Hyperband"].mean(0))


def test_the_command_writes_the_figure(tmp_path, capsys):
    save_curves(a_table(), tmp_path / "t.npz")
    options = ["--runs", "1", "--budget", "2", "--methods", "random", "--out", str(tmp_path / "figure")]
    assert main(["reproduce", "figure-2.9", "--table", str(tmp_path / "t.npz"), *options]) == 0
    assert "| random |" in capsys.readouterr().out and (tmp_path / "figure" / "figure-2.9.png").exists()
    assert main(["reproduce", "figure-2.9", "--methods", "randm"]) == 2
