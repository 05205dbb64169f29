"""The spaces of Bertrand 2019, chapter 2, and that of the 600 small models that stand in for its measured ones."""

from __future__ import annotations

from .space import Categorical, Ordinal, Space


def table_2_7(learning_rates: int = 8) -> Space:
    """The field-of-view networks: 39,200 configurations as printed, 34,300 with seven learning rates.

    The seven hyper-parameters are those of `SlicerHPOLib.fieldofview.network.Architecture` (blocks b, layers c,
    filters 2^r, kernel s, separable or not) and of its training (batch size, learning rate). The source's total is
    kept, and the three networks whose weights it prints are in the space. Which values each range has is this
    project's choice where the text it was made from gives only the total.

    Args:
        learning_rates: 8 as printed, or 7 without the smallest.
    """
    if learning_rates not in (7, 8):
        raise ValueError(f"{learning_rates} learning rates: table 2.7 has 8, the source's total has 7.")
    return Space(
        (
            Ordinal("blocks", (1, 2, 3, 4, 5)),
            Ordinal("layers", (1, 2, 3, 4, 5)),
            Ordinal("filters", (2, 4, 8, 16, 32, 64, 128)),
            Ordinal("kernel", (3, 5)),
            Categorical("separable", (False, True)),
            Ordinal("batch", (4, 8, 16, 32, 64, 128, 256)),
            Ordinal("learning_rate", tuple(10.0**-e for e in range(1, learning_rates + 1))),
        )
    )


def table_2_4() -> Space:
    """The networks that the combination of Hyperband and Bayesian optimisation was tried on: 19,200 configurations.

    Only the size is the source's: the ranges are not known here, and these of the same family of networks have it.
    Use it for speed and memory, not to compare losses with the source's.
    """
    return Space(
        (
            Ordinal("blocks", (1, 2, 3, 4, 5)),
            Ordinal("layers", (1, 2, 3, 4, 5)),
            Ordinal("filters", (4, 8, 16, 32, 64, 128)),
            Ordinal("kernel", (3, 5)),
            Categorical("separable", (False, True)),
            Ordinal("batch", (16, 32, 64, 128)),
            Ordinal("learning_rate", tuple(10.0**-e for e in range(1, 9))),
        )
    )


def digits_600() -> Space:
    """The multi-layer perceptrons that `digits.py` trains: 600 configurations."""
    return Space(
        (
            Ordinal("learning_rate", tuple(float(f"{10 ** (4 * k / 9 - 4):.3g}") for k in range(10))),
            Ordinal("width", (4, 8, 16, 32, 64)),
            Ordinal("batch", (32, 100, 300)),
            Ordinal("layers", (1, 2)),
            Categorical("optimiser", ("sgd", "adam")),
        )
    )
