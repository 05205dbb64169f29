"""Searches from the command line, and the stored table that they are compared on."""

from __future__ import annotations

from SlicerHPOLib.job import Job


def add_commands(verb) -> None:
    """Define them; see `training.__main__`."""
    command = verb("prepare", "digits600", _digits, "train the 600 small models whose learning curves are stored")
    command.add_argument("--out", required=True, metavar="FILE", help="a table, .npz")
    command.add_argument("--seed", type=int, default=0)

    command = verb("benchmark", "search", _benchmark, "time one suggestion among all configurations of table 2.7")
    command.add_argument("--rivals", action="store_true", help="whole runs, and those of the packages installed")
    command.add_argument("--until", type=int, default=1000, help="observations that a whole run ends with")
    command.add_argument("--seed", type=int, default=0)

    command = verb("report", None, _report, "write what a search found as a page with figures")
    command.add_argument("study", metavar="STUDY", help="a journal or an SQLite file, or the address of a database")
    command.add_argument("--name", help="of the study, where there are several")
    command.add_argument("--out", default="out/report", metavar="DIR")
    command.add_argument("--seed", type=int, default=0, help="of the fit of the process")


def _digits(options, job: Job) -> None:
    from .curve_table import save_curves
    from .digits import describe, train_digits

    table = train_digits(options.seed, job)
    save_curves(table, options.out)
    print(describe(table))


def _benchmark(options, job: Job) -> None:
    from . import overhead
    from .benchmark import benchmark, describe

    if options.rivals:
        print("seconds of a processor for an ask after so many observations, fits included (times ours)")
        ours = None
        for row in overhead.overheads(overhead.until(options.until), options.seed, job):
            ours = ours or row
            print(overhead.describe(row, ours), flush=True)
        return
    print(describe(benchmark(options.seed, job)))


def _report(options, job: Job) -> None:
    from .report import read
    from .report_page import summary, write_report

    record = read(options.study, options.name)
    for path in write_report(record, options.out, options.seed, job):
        print(path)
    print(summary(record))
