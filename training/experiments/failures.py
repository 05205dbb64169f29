"""Searches where much cannot be trained: memory excludes a quarter of the networks, and half of the best 1 %.

No one has trained all 34,300 networks of table 2.7, so their loss and memory are formulas. With b blocks of c layers,
f filters and a kernel of s pixels, separable (q = 1) or not, batches of n, and a learning rate of 10^-e:

    memory   8 bytes for each output of a convolution and its gradient, 96^2 / 4^i pixels in block i = 0 ... b - 1:
             8 n c f (96^2 + 96^2 / 4 + ...), of which 512 MiB are there
    loss     log loss = capacity + rate + shape + 0.02 g, with a normal g fixed for each network
             capacity   0.02 (k - 7)^2 - 0.12 k,  k = log2(b c f)
             rate       min(3, 0.25 (e - 3 + 0.3 log2(n / 32) - 0.1 (b - 3))^2)
             shape      0.15 q + 0.1 [s = 3] (1 - q) + 0.02 log2(n / 32)^2 + 0.04 (b - 4)^2

Large networks are better, so the best that can be trained lie along the border of what cannot. Gaps are those of
`sample_efficiency`, to the best that can be trained.
"""

from __future__ import annotations

import numpy as np

from ..search.bayesian import Bayesian
from ..search.curve_table import CurveTable
from ..search.rivals import RIVALS, optuna_gp_constrained
from ..search.spaces import table_2_7
from .sample_efficiency import Makers, source

MEMORY_BYTES = 512 * 2**20

OURS: Makers = {"source": source, "Bayesian": Bayesian}
THEIRS: Makers = {
    "Optuna TPE": RIVALS["Optuna TPE"].make,
    "Optuna GP": RIVALS["Optuna GP"].make,
    "Optuna GP, constraint": optuna_gp_constrained,
}


def failing_table() -> CurveTable:
    """The losses, NaN where memory is short."""
    space = table_2_7(learning_rates=7)
    configurations = space.enumerate()
    loss = np.where(memory(configurations) <= MEMORY_BYTES, losses(configurations), np.nan)
    return CurveTable(space, loss[:, None], np.full((len(loss), 1), np.nan), np.ones(len(loss)))


def memory(configurations: list[dict]) -> np.ndarray:
    """(n,) bytes that a training takes."""
    b, c, f, n = (_values(configurations, name) for name in ("blocks", "layers", "filters", "batch"))
    return 8 * n * c * f * 96**2 * (1 - 0.25**b) / (1 - 0.25)


def losses(configurations: list[dict]) -> np.ndarray:
    """(n,) of configurations in the order of the space, could they be trained."""
    names = ("blocks", "layers", "filters", "kernel", "separable", "batch")
    b, c, f, s, q, n = (_values(configurations, name) for name in names)
    e, k, size = -np.log10(_values(configurations, "learning_rate")), np.log2(b * c * f), np.log2(n / 32)
    capacity = 0.02 * (k - 7) ** 2 - 0.12 * k
    rate = np.minimum(3, 0.25 * (e - 3 + 0.3 * size - 0.1 * (b - 3)) ** 2)
    shape = 0.15 * q + 0.1 * (s == 3) * (1 - q) + 0.02 * size**2 + 0.04 * (b - 4) ** 2
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(configurations))
    return np.exp(capacity + rate + shape + noise)


def _values(configurations: list[dict], name: str) -> np.ndarray:
    return np.array([float(configuration[name]) for configuration in configurations])
