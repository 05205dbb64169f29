import csv

import numpy as np
import pytest

from training.__main__ import main
from training.experiments.table_2_3 import SHARES, describe, draws_until, table_2_3, targets
from training.search.curve_table import CurveTable, save_curves
from training.search.grid import GridSearch
from training.search.space import Ordinal, Space

SPACE = Space((Ordinal("a", tuple(range(10))), Ordinal("b", tuple(range(6)))))


def a_table():
    x = SPACE.encode(SPACE.enumerate())
    loss = (1 + (x[:, 0] - 0.63) ** 2 + (x[:, 1] - 0.37) ** 2)[:, None] * np.ones(3)
    loss[7] = np.nan
    return CurveTable(SPACE, loss, loss / 10, np.ones(len(loss)))


def test_good_models_are_counted_by_accuracy_and_by_rank_of_loss():
    losses = np.array([2.0, 1.0, 1.04, np.nan, 1.005, *np.linspace(3, 4, 15)])
    errors = np.array([0.07, 0.01, 0.0, np.nan, 0.05, *np.full(15, 0.5)])
    good = {name: list(np.flatnonzero(mask)) for name, mask in targets(losses, errors).items()}
    assert good == {
        "best": [1],
        "within 1%": [1, 2],
        "within 5%": [1, 2, 4],
        "within 10%": [0, 1, 2, 4],
        "top 1%": [],  # none of 20
        "top 5%": [1],
        "top 10%": [1, 4],
    }


def test_draws_are_counted_until_each_target_is_met():
    table = a_table()
    order = list(table.final)  # the grid's order is the table's
    good = {"best": table.final == np.nanmin(order), "any": ~np.isnan(table.final)}
    assert draws_until(good, table, GridSearch(SPACE)) == {"any": 1, "best": int(np.nanargmin(order)) + 1}


def test_bayesian_search_draws_fewer_than_random_from_the_same_starts(tmp_path):
    rows = table_2_3(a_table(), starts=6, out=tmp_path / "draws.csv")
    assert [row.target for row in rows][:2] == ["best", "within 1%"] and len(rows) == 1 + 2 * len(SHARES)
    assert rows[0].bayesian_average < 20 < rows[0].random_average
    assert all(row.bayesian_average <= row.bayesian_worst and row.random_average <= row.random_worst for row in rows)
    assert rows[0].random_mean == 61 / 2
    with (tmp_path / "draws.csv").open(newline="") as file:
        draws = list(csv.DictReader(file))
    assert len(draws) == 12 and [int(d["start"]) for d in draws[::2]] == [0, 10, 20, 30, 40, 50]
    best = [int(d["best"]) for d in draws if d["method"] == "bayesian"]
    assert rows[0].bayesian_worst == max(best)
    assert describe(rows).splitlines()[2].startswith("| best | 1 | 30.5 |")


def test_more_starts_than_models_are_refused():
    with pytest.raises(ValueError, match="has 60"):
        table_2_3(a_table(), starts=61)


def test_the_command_prints_the_table(tmp_path, capsys):
    save_curves(a_table(), tmp_path / "t.npz")
    assert main(["reproduce", "table-2.3", "--table", str(tmp_path / "t.npz"), "--starts", "1"]) == 0
    assert capsys.readouterr().out.startswith("| target | models |")
    assert main(["reproduce", "table-2.3", "--table", str(tmp_path / "none.npz")]) == 2
    assert "none.npz is no table" in capsys.readouterr().err
