import numpy as np
import pytest

from training.search.dehb import DEHB
from training.search.hyperband import Hyperband, brackets
from training.search.method import Observation
from training.search.space import Categorical, Continuous, Ordinal, Space

PLANE = Space((Continuous("x", 0, 1), Continuous("y", 0, 1), Continuous("z", 0, 1)))
FEW = Space((Ordinal("x", (0, 1, 2, 3)), Categorical("y", ("a", "b", "c"))))


def loss_of(suggestion):
    return sum((v - 0.7) ** 2 for v in suggestion.configuration.values()) + 0.1 / suggestion.resource


def run(search, trainings, loss=loss_of, workers=1):
    seen = []
    while len(seen) < trainings and (suggestions := search.ask(workers)):
        for s in suggestions:
            search.tell(Observation(s.configuration, s.trial, loss(s), s.resource))
        seen += suggestions
    return seen


def test_the_first_bracket_is_hyperbands_and_later_ones_train_as_much_on_each_rung():
    evolved, halved = run(DEHB(PLANE, 9, seed=1), 13 + 6 + 3), run(Hyperband(PLANE, 9, seed=1), 13)
    assert evolved[:13] == halved
    later = [rung for bracket in brackets(9)[1:] for rung in bracket]
    assert [s.resource for s in evolved[13:]] == [rung.resource for rung in later for _ in range(rung.trainings)]
    assert len({s.trial for s in evolved[13:]}) == 9  # each a new training


def test_evolution_finds_better_ones_than_hyperband():
    best = [
        np.mean([min(loss_of(s) for s in run(kind(PLANE, 9, seed=seed), 120) if s.resource == 9) for seed in range(5)])
        for kind in (DEHB, Hyperband)
    ]
    assert best[0] - 0.1 / 9 < 0.5 * (best[1] - 0.1 / 9)


def test_a_child_takes_the_place_of_a_target_that_is_not_better():
    search = DEHB(PLANE, 9)
    run(search, 200)
    for resource, population in search._populations.items():
        losses = [search.losses[trial, resource] for trial in population]
        tried = sorted(loss for (_, r), loss in search.losses.items() if r == resource)
        assert len(population) == {1: 9, 3: 5, 9: 3}[resource]
        assert min(losses) == tried[0] and np.mean(losses) < np.median(tried)


@pytest.mark.parametrize("workers", [1, 5, 40])
def test_a_small_space_is_used_up_and_nothing_tried_twice(workers):
    seen = run(DEHB(FEW, 9), 1000, lambda s: s.configuration["x"] / s.resource, workers)
    started = {s.trial: FEW.key(s.configuration) for s in seen}
    assert len(started) == len(set(started.values())) == FEW.size
    assert len({(s.trial, s.resource) for s in seen}) == len(seen)


def test_if_every_trial_fails_new_ones_come():
    assert len(run(DEHB(PLANE, 9), 60, lambda s: np.nan)) == 60


def test_the_same_seed_gives_the_same_search_which_can_be_resumed():
    whole = run(DEHB(PLANE, 9, seed=2), 60)
    assert run(DEHB(PLANE, 9, seed=2), 60) == whole != run(DEHB(PLANE, 9, seed=3), 60)
    resumed = DEHB(PLANE, 9, seed=2)
    for s in whole[:33]:
        resumed.tell(Observation(s.configuration, s.trial, loss_of(s), s.resource))
    assert run(resumed, 27) == whole[33:]
