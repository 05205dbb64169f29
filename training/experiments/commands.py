"""Tables and figures: python -m training reproduce NAME."""

from __future__ import annotations

from pathlib import Path

from SlicerHPOLib.job import Job

_TABLES = "digits600, or files of learning curves: of this project or of TaskSet"

FIGURES = {
    "figure-2.8": "losses of the models drawn",
    "figure-2.9": "running median of the losses of the models drawn",
    "figure-2.10": "loss of the best model",
}

OF_STUDY = {
    "figure-2.15": "the course of the field-of-view search, and what its networks weigh",
    "table-2.6": "the best networks of the field-of-view search",
    "table-2.8": "what each value of a hyper-parameter is worth in the field-of-view search",
}


def add_commands(verb) -> None:
    """Define them; see `training.__main__`."""
    command = verb("reproduce", "input-size", _input_size, "field of view: error by input size at equal computation")
    command.add_argument("--data", required=True, metavar="DIR", help="a data set of slices of 128 pixels")
    command.add_argument("--out", required=True, metavar="DIR", help="where the trainings are kept")
    command.add_argument("--slices", type=int, default=24_000, help="that a network of 96 pixels is trained on")
    command.add_argument("--seed", type=int, default=0)

    command = verb("reproduce", "table-3.1", _table_3_1, "kidney: a network of adults taken to children, by strategy")
    command.add_argument("--out", required=True, metavar="DIR", help="where data, trainings and the table are kept")
    command.add_argument("--scale", choices=("small", "full"), default="small", help="small: under an hour, 2 cores")

    for name, what in (
        ("figure-3.7", "kidney: convolutions that learn of children, up to the n-th and from the n-th on"),
        ("figure-3.9", "kidney: Dice of every unseen subject by strategy"),
        ("few-shot", "kidney: strategies by how many children there are"),
    ):
        command = verb("reproduce", name, _transfer_figure, what)
        command.add_argument(
            "--out", required=True, metavar="DIR", help="that of table-3.1: both share their trainings"
        )
        command.add_argument("--scale", choices=("small", "full"), default="small")
        command.set_defaults(figure=name)

    command = verb("reproduce", "table-4.2", _table_4_2, "kidney: U-Net and deformed template, adults and children")
    command.add_argument("--out", required=True, metavar="DIR", help="where data, trainings and the table are kept")
    command.add_argument("--scale", choices=("small", "full"), default="small", help="small: under 40 minutes, 2 cores")
    command.add_argument("--seed", type=int, default=0)

    command = verb("reproduce", "table-2.2", _table_2_2, "random draws needed to find one of the best models")
    command.add_argument("--models", type=int, default=100_000, help="to draw from")

    command = verb("reproduce", "table-2.3", _table_2_3, "draws of random and Bayesian search until a good model")
    command.add_argument("--starts", type=int, default=600, help="models to start from, 600 for all")
    command.add_argument("--table", metavar="FILE", help="learning curves, the stored ones of 600 models by default")
    command.add_argument("--out", metavar="FILE", help="the draws of each start, .csv")
    command.add_argument("--seed", type=int, default=0)

    command = verb("reproduce", "figure-2.7", _figure_2_7, "search methods at equal budget over stored learning curves")
    command.add_argument("--runs", type=int, default=50, help="searches by each method")
    command.add_argument("--budget", type=float, default=30, help="of a search, in full trainings")
    command.add_argument("--methods", nargs="+", metavar="NAME", help="all of ours by default")
    command.add_argument("--rivals", action="store_true", help="also Optuna's, where it is installed")
    command.add_argument("--table", metavar="FILE", help="learning curves, the stored ones of 600 models by default")
    command.add_argument("--out", default="out/figure-2.7", metavar="DIR")

    for name, text in FIGURES.items():
        command = verb("reproduce", name, _figure_2_8, f"{text}, for the methods of figure 2.7")
        command.add_argument("--runs", type=int, default=50, help="searches by each method")
        command.add_argument("--budget", type=float, default=30, help="of a search, in full trainings")
        command.add_argument("--methods", nargs="+", metavar="NAME", help="all of ours by default")
        command.add_argument("--rivals", action="store_true", help="also Optuna's, where it is installed")
        command.add_argument(
            "--table", metavar="FILE", help="learning curves, the stored ones of 600 models by default"
        )
        command.add_argument(
            "--out", default="out/figures-2.8-2.10", metavar="DIR", help="the searches are those of all three figures"
        )
        command.set_defaults(figure=name)

    command = verb("reproduce", "sample-efficiency", _sample_efficiency, "the best loss after few draws, and packages'")
    command.add_argument("--tables", nargs="+", default=["digits600"], metavar="TABLE", help=_TABLES)
    command.add_argument("--methods", nargs="+", metavar="NAME", help="ours by default")
    command.add_argument("--rivals", action="store_true", help="also the packages that are installed")
    command.add_argument("--runs", type=int, default=50, help="searches by each method")
    command.add_argument("--first", type=int, default=0, metavar="SEED", help="of the first of them")
    command.add_argument("--draws", type=int, default=60, help="of a search")
    command.add_argument("--out", default="out/sample-efficiency", metavar="DIR", help="goes on with what it has")

    command = verb("reproduce", "failures", _failures, "searches where a quarter of the networks cannot be trained")
    command.add_argument("--methods", nargs="+", metavar="NAME", help="ours by default")
    command.add_argument("--rivals", action="store_true", help="also Optuna's samplers")
    command.add_argument("--runs", type=int, default=20, help="searches by each method")
    command.add_argument("--first", type=int, default=0, metavar="SEED", help="of the first of them")
    command.add_argument("--out", default="out/failures", metavar="DIR", help="goes on with what it has")

    command = verb("reproduce", "continuous", _continuous, "searches of functions whose minima are known")
    command.add_argument("--methods", nargs="+", metavar="NAME", help="ours by default")
    command.add_argument("--rivals", action="store_true", help="also Optuna's samplers")
    command.add_argument("--runs", type=int, default=10, help="searches by each method")
    command.add_argument("--out", default="out/continuous", metavar="DIR", help="goes on with what it has")

    for name, text in OF_STUDY.items():
        command = verb("reproduce", name, _of_study, text)
        command.add_argument("--study", required=True, metavar="FILE", help="of `search fieldofview`; it may still run")
        command.add_argument("--out", default=f"out/{name}", metavar="DIR")
        command.set_defaults(table=name)


def _input_size(options, job: Job) -> None:
    from .input_size import describe, input_size

    shipped = {"filters": 16, "doubling": True, "hidden": (256,), "dropout": 0.1}
    print(describe(input_size(options.data, options.out, options.slices, options.seed, job, **shipped)))


def _table_3_1(options, job: Job) -> None:
    from .populations import SCALES
    from .table_3_1 import describe, table_3_1

    print(describe(table_3_1(options.out, SCALES[options.scale], job)))


def _transfer_figure(options, job: Job) -> None:
    from . import few_shot, figure_3_7, figure_3_9
    from .populations import SCALES

    figure = {"figure-3.7": figure_3_7, "figure-3.9": figure_3_9, "few-shot": few_shot}[options.figure]
    print(figure.draw(options.out, SCALES[options.scale], job))


def _table_4_2(options, job: Job) -> None:
    from .table_4_2 import SCALES, describe, table_4_2

    print(describe(table_4_2(options.out, SCALES[options.scale], options.seed, job)))


def _table_2_2(options, job: Job) -> None:
    from .table_2_2 import describe, table_2_2

    print(describe(table_2_2(options.models), options.models))


def _table_2_3(options, job: Job) -> None:
    from .table_2_3 import describe, table_2_3

    print(describe(table_2_3(_curves(options.table), options.starts, options.out, options.seed, job)))


def _figure_2_7(options, job: Job) -> None:
    from .figure_2_7 import chosen, describe, figure_2_7, write

    methods = chosen(options.methods, options.rivals)
    curves = figure_2_7(_curves(options.table), options.runs, options.budget, methods, job)
    for path in write(curves, options.out):
        print(path)
    print(describe(curves))


def _figure_2_8(options, job: Job) -> None:
    from .figure_2_7 import chosen
    from .figure_2_8 import describe, searches, write

    table = Path(options.table).stem if options.table else "digits600"
    methods = chosen(options.methods, options.rivals)
    found = searches(table, _curves(options.table), options.out, options.runs, options.budget, methods, job)
    for path in write(options.figure, found, options.out):
        print(path)
    print(describe(options.figure, found))


def _sample_efficiency(options, job: Job) -> None:
    from .sample_efficiency import OURS, RIVALS, describe, named, sample_efficiency

    tables = {Path(name).stem: _curves(None if name == "digits600" else name) for name in options.tables}
    methods = options.methods or list(OURS)
    if options.rivals:
        methods += [name for name, rival in RIVALS.items() if rival.installed and name not in methods]
    seeds = range(options.first, options.first + options.runs)
    print(describe(sample_efficiency(tables, options.out, seeds, named(methods), options.draws, job)))


def _failures(options, job: Job) -> None:
    from .failures import OURS, THEIRS, failing_table
    from .sample_efficiency import describe, named, sample_efficiency

    methods = list(options.methods or OURS) + (list(THEIRS) if options.rivals else [])
    makers, seeds = named(methods, OURS | THEIRS), range(options.first, options.first + options.runs)
    print(describe(sample_efficiency({"memory": failing_table()}, options.out, seeds, makers, job=job)))


def _continuous(options, job: Job) -> None:
    from .continuous import OURS, THEIRS, continuous, describe
    from .sample_efficiency import named

    methods = named(list(options.methods or OURS) + (list(THEIRS) if options.rivals else []), OURS | THEIRS)
    print(describe(continuous(options.out, range(options.runs), methods, job=job)))


def _of_study(options, job: Job) -> None:
    from ..search.report import read
    from . import figure_2_15, table_2_6, table_2_8

    record = read(options.study)
    if options.table == "figure-2.15":
        paths, text = figure_2_15.write(record, options.out), figure_2_15.describe(record)
    elif options.table == "table-2.6":
        found = table_2_6.networks(record)
        paths, text = table_2_6.write(found, options.out), table_2_6.describe(found)
    else:
        rows = table_2_8.table_2_8(record)
        paths, text = table_2_8.write(rows, options.out), table_2_8.describe(rows)
    for path in paths:
        print(path)
    print(text)


def _curves(path: str | None):
    from ..search.curve_table import load_curves
    from ..search.digits import digits_table
    from ..search.taskset import is_taskset, load_taskset

    if not path:
        return digits_table()
    return load_taskset(path) if is_taskset(path) else load_curves(path)
