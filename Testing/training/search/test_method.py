import numpy as np
import pytest

from training.search.method import Observation, Suggestion, Trials
from training.search.random_search import RandomSearch
from training.search.space import Continuous, Ordinal, Space

SPACE = Space((Ordinal("a", (1, 2, 3)), Ordinal("b", (1, 2))))
HERE = {"a": 1, "b": 2}


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf, None])
def test_a_loss_that_is_not_finite_is_a_failure(loss):
    observation = Observation(HERE, 0, loss, reason="out of memory" if loss is None else None)
    assert observation.failed and observation.loss is None
    assert observation.reason == ("out of memory" if loss is None else f"the loss is {loss}")


def test_a_result_is_taken_once_for_each_resource():
    trials = Trials(SPACE, 0)
    trials.suggest(HERE, 3)
    trials.tell(Observation(HERE, 0, 1.0, 3))
    trials.await_result(Suggestion(HERE, 0, 9))
    assert list(trials.awaited) == [0]
    trials.tell(Observation(HERE, 0, 0.5, 9))
    assert not trials.awaited and [o.loss for o in trials.observed] == [1.0, 0.5]
    with pytest.raises(ValueError, match="already"):
        trials.tell(Observation(HERE, 0, 0.5, 9))


def test_a_trial_keeps_its_configuration():
    trials = Trials(SPACE, 0)
    trials.suggest(HERE)
    with pytest.raises(ValueError, match=r"Trial 0 is of .*pass on"):
        trials.tell(Observation({"a": 2, "b": 2}, 0, 1.0))
    assert list(trials.awaited) == [0]  # nothing changed


def test_a_suggestion_is_awaited_once():
    trials = Trials(SPACE, 0)
    suggestion = trials.suggest(HERE)
    with pytest.raises(ValueError, match="awaited already"):
        trials.await_result(suggestion)


def test_numbers_of_trials_of_an_earlier_process_are_not_given_again():
    trials = Trials(SPACE, 0)
    trials.tell(Observation(HERE, 1, 1.0))
    assert trials.suggest({"a": 1, "b": 1}).trial == 0
    assert trials.suggest({"a": 2, "b": 1}).trial == 2


def test_duplicate_observations_under_different_numbers_are_kept():
    search = RandomSearch(SPACE)
    search.tell(Observation(HERE, 0, 1.0))
    search.tell(Observation(HERE, 1, 1.2))
    assert len(search.ask(10)) == SPACE.size - 1


def test_an_infinite_space_that_is_used_up_is_an_error():
    trials = Trials(Space((Continuous("x", 0.5, 0.5 + 1e-16 * 2),)), 0)
    with pytest.raises(ValueError, match="declare it finite"):
        for _ in range(100):
            trials.suggest(trials.unused_at_random())
