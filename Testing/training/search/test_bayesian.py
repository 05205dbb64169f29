"""Bayesian optimisation: what it finds, what it never does, and that it is the same each time."""

import numpy as np
import pytest

from training.search.bayesian import Bayesian
from training.search.feasibility import Limit
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
    assert max(ours) < 0.05
    assert np.mean(ours) < 0.2 * np.mean(random)


def test_in_a_space_without_end_the_best_is_found_to_three_digits():
    assert max(min(search(Bayesian(BOX, seed), box_loss, 25)) for seed in range(2)) < 1e-3


def tell(method, suggestion, loss, cost_s=1.0):
    method.tell(Observation(suggestion.configuration, suggestion.trial, loss, cost_s=cost_s))


def started(space=GRID, loss=grid_loss, seed=0, count=6, **options):
    """A search with `count` losses told."""
    method = Bayesian(space, seed, **options)
    search(method, loss, count)
    return method


def test_the_same_seed_and_losses_give_the_same_configurations_and_another_seed_others():
    runs = [search(Bayesian(BOX, seed), box_loss, 8) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("count", [3, 7, 13])
def test_a_search_that_is_resumed_goes_on_as_it_would_have(count):
    whole = Bayesian(GRID, 1)
    search(whole, grid_loss, count)
    under_way = whole.ask(2)
    again = Bayesian(GRID, 1)
    for observation in whole.trials.observed:
        again.tell(observation)
    for suggestion in under_way:
        again.take_up(suggestion)
    for suggestion in under_way:
        tell(whole, suggestion, grid_loss(suggestion.configuration))
        tell(again, suggestion, grid_loss(suggestion.configuration))
    assert search(whole, grid_loss, 4) == search(again, grid_loss, 4)


def test_a_finite_space_is_covered_without_repetition_and_then_nothing_more_comes():
    small = Space((Ordinal("a", (1, 2, 3, 4, 5)), Categorical("b", ("x", "y"))))
    method = Bayesian(small)
    losses = search(method, lambda c: c["a"] + (c["b"] == "x"), 10, batch=3)
    assert len(losses) == 10 and len(method.trials.used) == 10
    assert method.ask(2) == []


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(("space", "loss"), [(GRID, grid_loss), (BOX, box_loss)])
def test_trials_asked_for_together_are_different_ones(space, loss, batch):
    method = started(space, loss)
    together = method.ask(batch) + method.ask(batch)
    assert len({space.key(s.configuration) for s in together}) == 2 * batch
    assert not {space.key(o.configuration) for o in method.trials.observed} & {
        space.key(s.configuration) for s in together
    }


def test_a_batch_spreads_instead_of_crowding_around_one_place():
    line = Space((Ordinal("a", tuple(range(100))),))
    method = Bayesian(line, initial=[{"a": a} for a in (5, 35, 70, 95)])
    search(method, lambda c: (c["a"] - 50) ** 2 / 2500, 4)
    places = [s.configuration["a"] for s in method.ask(1) + method.ask(3)]
    assert max(places) - min(places) >= 10  # the four most promising alone lie beside each other


def test_batches_find_the_best_as_well():
    best = min(map(grid_loss, GRID.enumerate()))
    ours = [min(search(Bayesian(GRID, seed), grid_loss, 24, batch=4)) - best for seed in range(5)]
    random = [min(search(RandomSearch(GRID, seed), grid_loss, 24)) - best for seed in range(5)]
    assert np.mean(ours) < 0.3 * np.mean(random)


def failing(c):
    """A quarter of the grid cannot be trained, as if for memory, and the best of all is among it."""
    return None if 2 * c["a"] + c["b"] >= 19 or c["a"] == 9 else grid_loss(c)


def test_failed_trials_are_learned_from_and_their_neighbours_avoided():
    trainable = [failing(c) for c in GRID.enumerate()]
    best, share = min(v for v in trainable if v is not None), np.mean([v is None for v in trainable])
    failures, gaps = [], []
    for seed in range(4):
        losses = search(Bayesian(GRID, seed), failing, 30)
        failures.append(sum(loss is None for loss in losses))
        gaps.append(min(loss for loss in losses if loss is not None) - best)
    assert np.mean(failures) < 0.7 * share * 30  # though the best are at the border of what fails
    assert np.mean(gaps) < 0.002


def test_when_all_trials_fail_the_search_goes_on_to_the_end_of_the_space():
    small = Space((Ordinal("a", (1, 2, 3, 4)), Ordinal("b", (1, 2))))
    method = Bayesian(small)
    assert search(method, lambda c: None, 8) == [None] * 8
    assert method.ask() == []


def test_a_loss_that_is_no_number_is_a_failure():
    method = started(count=5)
    for loss in (float("nan"), float("inf")):
        (suggestion,) = method.ask()
        tell(method, suggestion, loss)
    assert [o.failed for o in method.trials.observed[-2:]] == [True, True]
    assert method.ask()


@pytest.mark.parametrize("constant", [0.0, -3.0, 1e12])
def test_losses_that_are_all_the_same_are_no_trouble(constant):
    method = Bayesian(GRID)
    search(method, lambda c: constant, 12)
    assert len(method.trials.used) == 12


def test_losses_of_any_size_are_no_trouble():
    method = Bayesian(GRID)
    losses = search(method, lambda c: 10.0 ** (4 * c["a"] - 6) * grid_loss(c), 15)
    assert min(losses) < 1e-6 * max(losses)


def test_the_same_configuration_told_again_by_others_is_no_trouble():
    method = started(count=6)
    first = method.trials.observed[0].configuration
    for trial in range(100, 104):
        method.tell(Observation(first, trial, grid_loss(first) + 0.001 * trial))
    assert method.space.key(method.ask()[0].configuration) != method.space.key(first)


@pytest.mark.parametrize(("space", "loss"), [(GRID, grid_loss), (BOX, box_loss)])
def test_a_limit_known_before_training_is_never_exceeded(space, loss):
    def cost(c):
        return c["a"] * c["b"] if "a" in c else c["decay"]

    most = 20 if space is GRID else 0.5
    method = Bayesian(space, limits=[Limit("cost", cost, most)])
    search(method, loss, 14, batch=2)
    assert max(cost(o.configuration) for o in method.trials.observed) <= most


def test_limits_that_nothing_keeps_are_named():
    with pytest.raises(ValueError, match="keeps memory in MiB"):
        Bayesian(GRID, limits=[Limit("memory in MiB", lambda c: 10, 5)])
    with pytest.raises(ValueError, match="keeps memory in MiB"):
        Bayesian(BOX, limits=[Limit("memory in MiB", lambda c: 10, 5)]).ask()


def test_initial_configurations_come_first_in_their_order():
    given = [{"a": 3, "b": 1, "kind": "x"}, {"a": 0, "b": 0, "kind": "y"}]
    method = Bayesian(GRID, initial=given)
    assert [s.configuration for s in method.ask(2)] == given


def test_the_initial_design_covers_the_space():
    for seed in range(5):
        first = [s.configuration["a"] for s in Bayesian(GRID, seed, initial=5).ask(5)]
        assert sorted(a // 2 for a in first) == [0, 1, 2, 3, 4] or len({a // 2 for a in first}) >= 4


def test_with_improvement_per_second_cheap_configurations_are_preferred():
    line = Space((Ordinal("a", tuple(range(21))),))

    def first_place(per_second):
        # two equal valleys, at 5 and, where training takes twelve times less, at 15
        method = Bayesian(line, initial=[{"a": a} for a in (0, 8, 10, 12, 20)], per_second=per_second)
        for _ in range(5):
            (suggestion,) = method.ask()
            a = suggestion.configuration["a"]
            tell(method, suggestion, np.cos(a / 20 * 4 * np.pi), cost_s=float(np.exp(-a / 4)))
        return method.ask()[0].configuration["a"]

    assert first_place(False) < 10 < first_place(True)


def test_models_drawn_from_the_posterior_find_the_best_too():
    best = min(map(grid_loss, GRID.enumerate()))
    assert min(search(Bayesian(GRID, 0, draws=3), grid_loss, 18)) - best < 0.003


def test_conditional_parameters_are_searched_where_they_are_active():
    space = Space(
        (
            Categorical("optimiser", ("adam", "sgd")),
            Continuous("rate", 1e-4, 1, log=True),
            Continuous("momentum", 0, 0.99, only_if=("optimiser", ("sgd",))),
        )
    )

    def loss(c):
        return (np.log10(c["rate"]) + 2) ** 2 + (2 * (c["momentum"] - 0.8) ** 2 if c["optimiser"] == "sgd" else 0.2)

    losses = search(Bayesian(space, 0), loss, 22)
    assert min(losses) < 0.2  # the least that is possible without momentum
    assert np.median(losses[10:]) < 0.3 * np.median([loss(c) for c in space.sample(np.random.default_rng(0), 1000)])
