"""Searches from the command line, and the stored table that they are compared on."""

from __future__ import annotations

from SlicerHPOLib.job import Job


def add_commands(verb) -> None:
    """Define them; see `training.__main__`."""
    command = verb("prepare", "digits600", _digits, "train the 600 small models whose learning curves are stored")
    command.add_argument("--out", required=True, metavar="FILE", help="a table, .npz")
    command.add_argument("--seed", type=int, default=0)

    command = verb("benchmark", "search", _benchmark, "time one suggestion among all configurations of table 2.7")
    command.add_argument("--seed", type=int, default=0)


def _digits(options, job: Job) -> None:
    from .curve_table import save_curves
    from .digits import describe, train_digits

    table = train_digits(options.seed, job)
    save_curves(table, options.out)
    print(describe(table))


def _benchmark(options, job: Job) -> None:
    from .benchmark import benchmark, describe

    print(describe(benchmark(options.seed, job)))
