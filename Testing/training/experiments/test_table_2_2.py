import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from training.__main__ import main
from training.experiments.table_2_2 import describe, draws_needed, expected_draws, table_2_2


def test_the_table_is_the_printed_one():
    assert table_2_2() == [[69, 298, 458], [14, 59, 90], [7, 29, 44]]


def test_infinitely_many_models_need_two_draws_more():
    assert table_2_2(10**8) == [[69, 299, 459], [14, 59, 90], [7, 29, 44]]


def test_exactly_the_probability_is_not_enough():
    assert draws_needed(10, 5, 0.5) == 2  # the first draw is good with 0.5, which is not more
    assert draws_needed(10, 5, 0.0) == 1
    assert draws_needed(7, 7, 0.99) == 1


@given(st.integers(1, 60), st.integers(0, 400), st.floats(0, 0.999))
def test_draws_agree_with_the_hypergeometric_distribution(good, bad, probability):
    draws = draws_needed(good + bad, good, probability)
    hit = 1 - hypergeom(good + bad, good, np.array([draws - 1, draws])).pmf(0)
    assert hit[0] <= probability + 1e-9 and hit[1] > probability - 1e-9


def test_the_mean_is_that_of_simulated_draws():
    rng = np.random.default_rng(0)
    first = [rng.permutation(30)[:3].min() + 1 for _ in range(4000)]  # ranks of 3 good models in random orders
    assert np.mean(first) == pytest.approx(expected_draws(30, 3), rel=0.03)


@pytest.mark.parametrize("bad", [(10, 0, 0.5), (10, 11, 0.5), (10, 1, 1.0)])
def test_impossible_questions_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        draws_needed(*bad)


def test_the_command_prints_the_table(capsys):
    assert main(["reproduce", "table-2.2"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == describe(table_2_2()).strip()
    assert printed.splitlines()[1].split() == ["best", "1%", "69", "298", "458", "99.9"]
