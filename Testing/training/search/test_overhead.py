"""What searches cost: the integral over a run, and that it is measured; not how long anything takes."""

import pytest

from training.search import overhead
from training.search.overhead import Overhead, describe, integral, overheads, until


@pytest.mark.parametrize("power", [-1, 0, 1, 2.5])
def test_a_power_of_the_observations_is_integrated_exactly(power):
    seconds = {n: 3.0 * n**power for n in (10, 30, 100)}
    exact = 3 * ((100 ** (power + 1) - 10 ** (power + 1)) / (power + 1) if power != -1 else 2.302585093)
    assert integral(seconds) == pytest.approx(exact)


def test_ours_is_run_and_a_package_is_asked_at_each_number(monkeypatch):
    pytest.importorskip("optuna")
    ask = overhead._ask

    def counted(method, space, rng):  # as if an ask took as many seconds as there are observations
        known = len(method.trials.observed)
        assert ask(method, space, rng) > 0
        return float(known)

    monkeypatch.setattr(overhead, "PACKAGES", ("Optuna TPE",))
    monkeypatch.setattr(overhead, "_ask", counted)
    ours, tpe = overheads(observed=(10, 14))
    assert ours == Overhead("ours", {10: 9.5, 14: 13.5}, 10 + 11 + 12 + 13 + 14)  # means of the last two asks
    assert tpe == Overhead("Optuna TPE", {10: 10, 14: 14}, pytest.approx((14**2 - 10**2) / 2))


def test_a_line_has_the_times_ours():
    ours = Overhead("ours", {10: 0.1, 100: 0.2}, 20.0)
    line = describe(Overhead("theirs", {10: 0.2, 100: 1.0}, 50.0), ours)
    assert "10: 0.2 (2x), 100: 1 (5x); run: 50 (2x)" in line


def test_a_run_that_ends_early_is_timed_at_its_end():
    assert until(1000) == (10, 30, 100, 300, 1000) and until(300) == (10, 30, 100, 300) and until(50) == (10, 30, 50)
    with pytest.raises(ValueError, match="starts with 10"):
        until(10)
