import numpy as np
import pytest

from training.__main__ import main
from training.experiments.sample_efficiency import Run, describe, named, read, sample_efficiency, search
from training.search.curve_table import CurveTable, save_curves
from training.search.grid import GridSearch
from training.search.space import Ordinal, Space


def a_table(losses=None):
    space = Space((Ordinal("a", tuple(range(10))), Ordinal("b", tuple(range(7)))))
    x = space.encode(space.enumerate())
    loss = (1 + (x[:, 0] - 0.7) ** 2 + 0.3 * x[:, 1])[:, None] if losses is None else losses
    return CurveTable(space, loss, loss, np.ones(len(loss)))


def test_the_gap_is_that_of_the_best_drawn_between_the_least_and_the_median():
    space = Space((Ordinal("a", (0, 1, 2, 3, 4)),))
    loss = np.array([[np.nan], [9.0], [4.0], [3.0], [2.0]])  # least 2, median 3.5
    gaps, failed = search(CurveTable(space, loss, loss, np.ones(5)), GridSearch(space), 7)
    np.testing.assert_allclose(gaps, [1, 1, 1, 1 / 1.5, 0, 0, 0])
    assert failed == 1


def test_runs_are_kept_as_they_finish_and_not_done_again(tmp_path):
    tables, seeds = {"small": a_table()}, range(2)
    runs = sample_efficiency(tables, tmp_path, seeds, named(["random", "Bayesian"]), draws=15)
    assert [(run.method, run.seed) for run in runs] == [(m, s) for m in ("random", "Bayesian") for s in seeds]
    assert all(run.gaps[0] is not None and run.gaps[1:] == (None, None) for run in runs)

    def refuse(space, seed):
        raise AssertionError("this was done")

    again = sample_efficiency(tables, tmp_path, seeds, {"random": refuse, "Bayesian": refuse}, draws=15)
    assert [run.gaps for run in again] == [pytest.approx(run.gaps, abs=1e-5) for run in runs]
    assert read(tmp_path / "runs.csv") == again


def test_a_search_that_is_killed_loses_what_is_not_finished_only(tmp_path):
    def killed(space, seed):
        if seed:
            raise KeyboardInterrupt
        return GridSearch(space)

    with pytest.raises(KeyboardInterrupt):
        sample_efficiency({"small": a_table()}, tmp_path, range(3), {"grid": killed}, draws=15)
    assert [run.seed for run in read(tmp_path / "runs.csv")] == [0]


def test_runs_that_another_process_adds_meanwhile_are_kept(tmp_path):
    tables = {"small": a_table()}

    def slow(space, seed):
        sample_efficiency(tables, tmp_path, [seed], {"other": GridSearch}, draws=15)
        return GridSearch(space)

    sample_efficiency(tables, tmp_path, range(2), {"slow": slow}, draws=15)
    assert {(run.method, run.seed) for run in read(tmp_path / "runs.csv")} == {
        (m, s) for m in ("slow", "other") for s in (0, 1)
    }


def test_more_draws_than_were_made_are_made(tmp_path):
    for draws, gaps in ((15, 1), (30, 2), (15, 2)):
        (run,) = sample_efficiency({"small": a_table()}, tmp_path, [0], named(["random"]), draws=draws)
        assert sum(gap is not None for gap in run.gaps) == gaps


def test_ours_is_compared_with_the_best_package_seed_by_seed():
    def runs(method, gaps):
        return [Run("t", method, seed, (gap, None, None), 1, 0.5) for seed, gap in enumerate(gaps)]

    text = describe(runs("Bayesian", [0.1, 0.2, 0.3]) + runs("worse", [0.9, 0.9]) + runs("best", [0.2, 0.3, 0.4, 0.1]))
    assert "| Bayesian | 20.00 ± 24.84 |  |  | 1.0 | 0.50 | 3 |" in text  # 4.303 x 10 / sqrt(3)
    assert text.endswith("after 15 draws, Bayesian less best: -10.00 ± 0.00 over 3 paired seeds")


def test_unknown_methods_and_too_few_draws_are_refused(tmp_path):
    with pytest.raises(ValueError, match="SMAC"):
        named(["SMACK"])
    with pytest.raises(ValueError, match="at least 15"):
        sample_efficiency({"small": a_table()}, tmp_path, [0], named(["random"]), draws=10)


def test_the_command_prints_the_table(tmp_path, capsys):
    save_curves(a_table(), tmp_path / "small.npz")
    options = ["--tables", str(tmp_path / "small.npz"), "--runs", "2", "--draws", "15", "--methods", "random"]
    assert main(["reproduce", "sample-efficiency", *options, "--out", str(tmp_path / "out")]) == 0
    assert "| small: gap in %" in capsys.readouterr().out
    assert len(read(tmp_path / "out" / "runs.csv")) == 2
