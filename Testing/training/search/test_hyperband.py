import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.search.hyperband import Hyperband, brackets, cost
from training.search.method import Observation
from training.search.space import Continuous, Ordinal, Space

LINE = Space((Continuous("x", 0, 1),))
FEW = Space((Ordinal("x", tuple(k / 10 for k in range(10))),))
# Li et al. 2017: R = 81, eta = 3, by algorithm 1; (n_i, r_i) of s = 4, 3, 2, 1, 0
PAPER = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]


def tell(search, suggestion, loss=None):
    x = suggestion.configuration["x"] if loss is None else loss
    search.tell(Observation(suggestion.configuration, suggestion.trial, x, suggestion.resource))


def run(search, trainings, workers=1):
    """Suggestions in order; results come in the order asked."""
    seen = []
    while len(seen) < trainings and (suggestions := search.ask(workers)):
        for suggestion in suggestions:
            tell(search, suggestion)
        seen += suggestions
    return seen


def test_the_brackets_of_81_are_those_of_the_paper():
    assert [[(rung.trainings, rung.resource) for rung in bracket] for bracket in brackets(81, 3)] == PAPER


@given(st.integers(1, 300), st.integers(2, 5))
def test_brackets_grow_to_the_full_resource_within_their_budget(resource, eta):
    found = brackets(resource, eta)
    assert len(found) == next(k for k in range(1, 20) if eta**k > resource)
    for bracket in found:
        resources = [rung.resource for rung in bracket]
        assert resources[-1] == resource and resources[0] >= 1 and sorted(set(resources)) == resources
        assert [b.trainings for b in bracket[1:]] == [a.trainings // eta for a in bracket[:-1]]
        # each rung may spend R (s_max + 1) / (s + 1), and rounds its trainings up and its resource to whole units
        assert bracket[0].trainings >= len(found) / len(bracket) * eta ** (len(bracket) - 1)
        assert bracket[0].trainings < len(found) / len(bracket) * eta ** (len(bracket) - 1) + 1
        assert cost(bracket) <= sum(rung.trainings * rung.resource for rung in bracket)


def test_the_least_resource_bounds_the_brackets():
    assert [bracket[0].resource for bracket in brackets(81, 3, least=9)] == [9, 27, 81]


@pytest.mark.parametrize("bad", [(0, 3, 1), (9.0, 3, 1), (9, 1, 1), (9, 3, 0), (9, 3, 10)])
def test_brackets_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="whole number"):
        brackets(*bad)


def test_one_worker_walks_the_rungs_of_the_paper_and_keeps_the_best():
    trainings = sum(n for bracket in PAPER for n, _ in bracket)
    seen = run(Hyperband(LINE, 81), trainings)
    expected = [r for bracket in PAPER for n, r in bracket for _ in range(n)]
    assert [s.resource for s in seen] == expected
    first, second = seen[:81], seen[81:108]
    best = sorted(first, key=lambda s: s.configuration["x"])[:27]
    assert [s.trial for s in second] == [s.trial for s in best]
    assert len({s.trial for s in seen}) == sum(bracket[0][0] for bracket in PAPER) == 143


def test_what_is_spent_is_what_the_brackets_add_up_to():
    seen = run(Hyperband(LINE, 27), sum(rung.trainings for bracket in brackets(27) for rung in bracket))
    reached, spent = {}, 0
    for suggestion in seen:
        spent += suggestion.resource - reached.get(suggestion.trial, 0)
        reached[suggestion.trial] = suggestion.resource
    assert spent == sum(map(cost, brackets(27)))


def test_a_new_round_begins_after_the_last_bracket():
    round_ = sum(rung.trainings for bracket in brackets(9) for rung in bracket)
    assert [s.resource for s in run(Hyperband(LINE, 9), 2 * round_)][round_ : round_ + 3] == [1, 1, 1]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("workers", [2, 7, 100])
def test_parallel_asks_are_always_served_and_train_each_rung_once(workers, asynchronous):
    search = Hyperband(LINE, 27, asynchronous=asynchronous)
    rng, awaited, seen = np.random.default_rng(0), [], set()
    for _ in range(300):
        fresh = search.ask(workers - len(awaited))
        assert len(fresh) == workers - len(awaited)
        assert not seen & {(s.trial, s.resource) for s in fresh}
        seen |= {(s.trial, s.resource) for s in fresh}
        awaited += fresh
        tell(search, awaited.pop(rng.integers(len(awaited))))
    assert any(resource == 27 for _, resource in seen)


def test_a_rung_waits_for_its_last_result():
    search = Hyperband(LINE, 9)
    rung = search.ask(9)
    for suggestion in rung[:8]:
        tell(search, suggestion)
    (other,) = search.ask()
    assert other.trial == 9 and other.resource == 3  # of the next bracket
    tell(search, rung[8])
    assert {s.trial for s in search.ask(3)} <= {s.trial for s in rung}


def test_asynchronous_rungs_do_not_wait():
    search = Hyperband(LINE, 9, asynchronous=True)
    rung = search.ask(9)
    for suggestion in rung[:3]:
        tell(search, suggestion)
    (on,) = search.ask()
    assert on.resource == 3 and on.trial == min(rung[:3], key=lambda s: s.configuration["x"]).trial
    assert search.ask()[0].trial == 9  # one of three goes on, not two


def test_failed_trials_do_not_go_on():
    search = Hyperband(LINE, 9)
    rung = search.ask(9)
    for suggestion in rung:
        tell(search, suggestion, 1.0 if suggestion.trial == 4 else math.nan)
    assert [(s.trial, s.resource) for s in search.ask(2)] == [(4, 3), (9, 3)]


def test_if_every_trial_fails_new_ones_come():
    search = Hyperband(LINE, 9)
    for _ in range(40):
        (suggestion,) = search.ask()
        tell(search, suggestion, math.nan)
    assert len(search.trials.observed) == len(search.trials.configurations) == 40


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_small_space_is_used_up_and_its_best_trained_to_the_end(asynchronous):
    search = Hyperband(FEW, 27, asynchronous=asynchronous)
    seen = run(search, 10_000)
    assert len({FEW.key(s.configuration) for s in seen}) == len({s.trial for s in seen}) == 10
    assert any(s.resource == 27 and s.configuration["x"] == 0 for s in seen)
    assert search.ask(5) == []


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("stop", [1, 20, 33, 50])
def test_a_search_that_is_told_an_earlier_one_goes_on_like_it(stop, asynchronous):
    whole = run(Hyperband(LINE, 27, seed=2, asynchronous=asynchronous), 80)
    resumed = Hyperband(LINE, 27, seed=2, asynchronous=asynchronous)
    for suggestion in whole[:stop]:
        tell(resumed, suggestion)
    resumed.take_up(whole[stop])
    tell(resumed, whole[stop])
    assert run(resumed, 80 - stop - 1) == whole[stop + 1 :]
    other = Hyperband(LINE, 27, seed=3)
    assert run(other, 80) != whole
