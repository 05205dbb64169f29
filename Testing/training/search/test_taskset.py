"""TaskSet's files as tables of learning curves."""

from pathlib import Path

import numpy as np
import pytest

from training.search.curve_table import save_curves
from training.search.digits import digits_table
from training.search.taskset import is_taskset, load_taskset

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "hpo"


def a_file(folder):
    valid = np.array([[7, 3.0, 2, 1], [7, 3, np.inf, 4], [7, 3, np.nan, np.nan]], np.float32)
    hp = np.array([[0.9, 1e-3], [0.99, 0.05], [0.5, 2.0]])
    np.savez(folder / "task.npz", hp=hp, hp_names=np.array(["beta1", "learning_rate"]), valid=valid)
    return folder / "task.npz"


def test_a_file_is_a_table_over_its_listed_settings(tmp_path):
    table = load_taskset(a_file(tmp_path))
    assert table.resources == 3 and table.space.names == ("1 - beta1", "learning_rate")
    np.testing.assert_allclose(
        [list(c.values()) for c in table.space.enumerate()], [[0.1, 1e-3], [0.01, 0.05], [0.5, 2]]
    )
    assert [(p.low, p.high) for p in table.space.parameters] == [(0.01, 1), (1e-3, 10)]


def test_a_training_that_diverged_once_has_failed_from_then_on(tmp_path):
    loss = load_taskset(a_file(tmp_path)).loss
    np.testing.assert_array_equal(loss, [[3, 2, 1], [3, np.nan, np.nan], [3, np.nan, np.nan]])


def test_other_files_are_refused(tmp_path):
    save_curves(digits_table(), tmp_path / "t.npz")
    (tmp_path / "u.npz").write_text("nothing")
    for path in (tmp_path / "t.npz", tmp_path / "u.npz", tmp_path / "missing.npz"):
        assert not is_taskset(path)
        with pytest.raises(ValueError, match="no task of TaskSet"):
            load_taskset(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="TaskSet's files are not here")
def test_real_tasks_are_read():
    for path in sorted(REAL.glob("taskset_*.npz"))[:2]:
        table = load_taskset(path)
        assert table.space.size == 1000 and table.resources == 50 and np.isfinite(table.final).mean() > 0.7
