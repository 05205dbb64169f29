"""Bayesian optimisation: what it finds, what it never does, and that it is the same each time."""

import numpy as np

from training.search.bayesian import Bayesian
from training.search.method import Observation
from training.search.random_search import RandomSearch
from training.search.space import Categorical, Continuous, Ordinal, Space

GRID = Space((Ordinal("a", tuple(range(10))), Ordinal("b", tuple(range(8))), Categorical("kind", ("x", "y"))))
BOX = Space((Continuous("rate", 1e-4, 1, log=True), Continuous("decay", 0, 1), Categorical("kind", ("x", "y"))))


def grid_loss(c):
    return (
        0.1
        + ((c["a"] - 6.3) / 10) ** 2
        + ((c["b"] - 2.2) / 8) ** 2 * (1 + (c["kind"] == "x"))
        + 0.1 * (c["kind"] == "x")
    )


def box_loss(c):
    return (np.log10(c["rate"]) + 1.7) ** 2 + 4 * (c["decay"] - 0.3) ** 2 + 0.2 * (c["kind"] == "x")


def search(method, loss, count, batch=1):
    """Losses (count,) in the order told; None where a trial failed."""
    losses = []
    while len(losses) < count:
        for suggestion in method.ask(min(batch, count - len(losses))):
            losses.append(loss(suggestion.configuration))
            method.tell(Observation(suggestion.configuration, suggestion.trial, losses[-1], cost_s=1.0))
    return losses


def test_on_a_grid_it_is_nearer_to_the_best_than_random_search_in_paired_runs():
    best = min(map(grid_loss, GRID.enumerate()))
    ours = [min(search(Bayesian(GRID, seed), grid_loss, 15)) - best for seed in range(8)]
    random = [min(search(RandomSearch(GRID, seed), grid_loss, 15)) - best for seed in range(8)]
    assert np.mean(ours) < 0.2 * np.mean(random)
    assert sum(a <= b for a, b in zip(ours, random, strict=True)) >= 7


def test_in_a_space_without_end_it_is_nearer_to_the_best_than_random_search():
    ours = [min(search(Bayesian(BOX, seed), box_loss, 16)) for seed in range(4)]
    random = [min(search(RandomSearch(BOX, seed), box_loss, 16)) for seed in range(4)]
    assert max(ours) < 0.02
    assert np.mean(ours) < 0.2 * np.mean(random)
