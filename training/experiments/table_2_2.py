"""Table 2.2 of Bertrand 2019: how many models must be drawn at random to find a good one.

N models, of which the M = share * N best are good, are drawn without replacement. n draws miss all good ones with the
probability

    q(n) = C(N - M, n) / C(N, n) = prod_{i < n} (N - M - i) / (N - i)

and the table has the least n with 1 - q(n) > p. The source's numbers are those of N = 100,000 models, which is taken
here (200,000 and 500,000 give the same). With infinitely many, q(n) = (1 - share)^n, two of the nine are one higher.
"""

from __future__ import annotations

SHARES, PROBABILITIES = (0.01, 0.05, 0.10), (0.50, 0.95, 0.99)
MODELS = 100_000


def draws_needed(models: int, good: int, probability: float) -> int:
    """The least number of random draws without replacement that meets a good model with more than `probability`.

    Raises:
        ValueError: none of the models is good, more are than exist, or the probability is not in [0, 1).
    """
    if not 1 <= good <= models:
        raise ValueError(f"{good} good models of {models}: it must be at least one and at most all.")
    if not 0 <= probability < 1:
        raise ValueError(f"A probability of {probability}: it must be at least 0 and under 1.")
    missed, draws = 1.0, 0
    while not 1 - missed > probability:
        missed *= (models - good - draws) / (models - draws)
        draws += 1
    return draws


def expected_draws(models: int, good: int) -> float:
    """Draws without replacement until the first good model, on average: (N + 1) / (M + 1)."""
    return (models + 1) / (good + 1)


def table_2_2(models: int = MODELS) -> list[list[int]]:
    """A row for each of `SHARES`, a column for each of `PROBABILITIES`."""
    return [[draws_needed(models, round(share * models), p) for p in PROBABILITIES] for share in SHARES]


def describe(rows: list[list[int]], models: int = MODELS) -> str:
    """The table to print, with the mean beside."""
    lines = ["models      " + "".join(f"{p:8.0%}" for p in PROBABILITIES) + "    mean"]
    for share, row in zip(SHARES, rows, strict=True):
        mean = expected_draws(models, round(share * models))
        lines.append(f"best {share:4.0%}   " + "".join(f"{n:8}" for n in row) + f"{mean:8.1f}")
    return "\n".join(lines)
