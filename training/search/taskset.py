"""Learning curves of TaskSet (Metz et al. 2020): recurrent networks trained with 1000 random settings of Adam each.

A file has `hp` (n, 8), `hp_names` and `valid` (n, T), the validation loss before training and after each of T - 1
equal parts of it. The settings were drawn from ranges, uniformly in the logarithm (those of 1 - beta for the betas),
so the space is a list of them, in ranges of whole decades.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .curve_table import CurveTable
from .listed import ListedSpace
from .parameter import Continuous

# Names of hyper-parameters whose distance from 1 is what counts.
FROM_ONE = ("beta1", "beta2")


def is_taskset(path: str | Path) -> bool:
    """Whether a .npz file is one of TaskSet's."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {"hp", "hp_names", "valid"} <= set(file.files)
    except (OSError, ValueError):
        return False


def load_taskset(path: str | Path) -> CurveTable:
    """Read a task. Shares of errors are not stored: NaN. One part of a training counts as one second.

    Raises:
        ValueError: the file is none of TaskSet's.
    """
    if not is_taskset(path):
        raise ValueError(f"{path} is no task of TaskSet: expected an .npz file with hp, hp_names and valid.")
    with np.load(path, allow_pickle=False) as file:
        names, values = [str(name) for name in file["hp_names"]], file["hp"].astype(float)
        loss = file["valid"].astype(float)[:, 1:]
    columns = {}
    for name, column in zip(names, values.T, strict=True):
        columns |= {f"1 - {name}": 1 - column} if name in FROM_ONE else {name: column}
    space = ListedSpace(
        tuple(Continuous(name, *_decades(column), log=True) for name, column in columns.items()),
        tuple(dict(zip(columns, row, strict=True)) for row in np.column_stack(list(columns.values())).tolist()),
    )
    diverged = ~np.isfinite(loss)
    loss[np.logical_or.accumulate(diverged, axis=1)] = np.nan
    return CurveTable(space, loss, np.full_like(loss, np.nan), np.ones(len(loss)))


def _decades(values: np.ndarray) -> tuple[float, float]:
    """The powers of ten that enclose positive values."""
    return 10.0 ** math.floor(math.log10(values.min())), 10.0 ** math.ceil(math.log10(values.max()))
