"""The command `slicerhpo`. Exit codes: 0 all right; 1 some volumes failed; 2 the request, or every volume, was refused;
130 interrupted. Results go to standard output, all else to standard error."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__

if TYPE_CHECKING:  # the rest is imported where it is used: help and usage errors do not wait for SimpleITK and torch
    from .results import Result

_OK, _SOME_FAILED, _REFUSED, _INTERRUPTED = 0, 1, 2, 130
_DEFAULT_MODEL = "mr-field-of-view"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with these arguments (None: those of the process) and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except ValueError as error:  # BatchError, BundleError, ...: the library's own, made to be read
        if not type(error).__module__.startswith(__package__):
            raise
        print(f"slicerhpo: error: {error}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt:
        print("slicerhpo: interrupted.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slicerhpo", description="Which anatomical regions MR volumes show. Not for clinical use."
    )
    parser.add_argument("--version", action="version", version=f"slicerhpo {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    classify = commands.add_parser(
        "classify",
        help="regions of MR volumes and the boundaries between them",
        description="Regions (head, chest, abdomen, pelvis, legs, or spine) of MR volumes and the boundaries between "
        "them, in mm along S (RAS). Prints a line for each volume, inferior to superior.",
        epilog="Exit code: 0 all right, 1 some volumes failed, 2 the request or every volume was refused, "
        "130 interrupted (what is finished is kept).",
    )
    add = classify.add_argument
    add("paths", nargs="+", metavar="PATH", help="a volume, a DICOM folder, or a folder of these")
    add("--csv", metavar="F", help="write a table, one row a region")
    add("--json", metavar="F", help="write the same, nested")
    add("--figure", metavar="F", help="one volume: a .png, .pdf or .svg file; several: a folder for a .png of each")
    add("--model", metavar="NAME|DIR", default=_DEFAULT_MODEL, help="model to use (default: %(default)s)")
    add(
        "--fix-boundary",
        metavar="LOWER/UPPER=MM",
        action="append",
        type=_boundary,
        default=[],
        help="a boundary that is known, such as abdomen/chest=-120; may be given several times",
    )
    add("--series", metavar="S", help="which DICOM series of a folder: its number or description")
    add("--frame", metavar="N", type=_whole(0), help="which image of a 4D volume, counted from 0")
    add("--skip-done", action="store_true", help="do not repeat volumes that the --csv or --json file already answers")
    add("--quiet", action="store_true", help="print errors only")
    add("--threads", metavar="N", type=_whole(1), help="number of CPU threads (default: all)")
    classify.set_defaults(run=_classify)

    models = commands.add_parser("models", help="list the models", description="Lists the models that have a name.")
    models.set_defaults(run=_models)
    return parser


def _boundary(text: str) -> tuple[str, float]:
    name, _, position = text.partition("=")
    try:
        return name.strip(), float(position)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOWER/UPPER=MM, such as abdomen/chest=-120") from None


def _whole(least: int):
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return parse


def _classify(options: argparse.Namespace) -> int:
    from . import batch
    from .job import Job
    from .terminal import ProgressBar

    names = [name for name, _ in options.fix_boundary]
    if len(set(names)) < len(names):
        raise batch.BatchError("A boundary is fixed twice: give it once.")
    plan = batch.prepare(
        options.paths,
        model=options.model,
        csv=options.csv,
        json=options.json,
        figure=options.figure,
        fixed=dict(options.fix_boundary),
        skip_done=options.skip_done,
        series=options.series,
        frame=options.frame,
    )
    if options.threads:
        _limit_threads(options.threads)

    finished: list[Result] = []
    width = max(len(_label(volume.blank)) for volume in plan.volumes)
    with ProgressBar(shown=not options.quiet) as bar:

        def show(result: Result) -> None:
            finished.append(result)
            if result.error and len(plan.volumes) > 1:
                bar.print(f"{_label(result):<{width}}  failed: {result.error}", sys.stderr)
            elif not result.error and not options.quiet:
                bar.print(f"{_label(result):<{width}}  {describe(result)}")

        try:
            batch.run(plan, job=Job(bar.report), on_result=show)
        except KeyboardInterrupt:
            bar.print(_interrupted(plan, finished), sys.stderr)
            return _INTERRUPTED
    return _exit_code(finished)


def _exit_code(results: list[Result]) -> int:
    """Names what failed and says how bad that is."""
    failed = [result for result in results if result.error]
    if not failed:
        return _OK
    if len(results) == 1:
        print(f"slicerhpo: error: {_label(failed[0])}: {failed[0].error}", file=sys.stderr)
    else:
        names = ", ".join(_label(result) for result in failed)
        print(f"slicerhpo: {len(failed)} of {len(results)} volumes failed: {names}", file=sys.stderr)
    return _REFUSED if len(failed) == len(results) else _SOME_FAILED


def _interrupted(plan, finished: list[Result]) -> str:
    kept = " and ".join(str(path) for path in (plan.csv, plan.json) if path)
    done = f"{sum(not result.error for result in finished)} of {len(plan.volumes)} volumes are finished"
    if not kept:
        return f"slicerhpo: interrupted; {done}, no --csv or --json file keeps them."
    return f"slicerhpo: interrupted; {done} and kept in {kept}. The same command with --skip-done goes on from there."


def describe(result: Result) -> str:
    """The regions of a volume in one line: abdomen -312..-95 mm (98 %) | chest -95..120 mm (99 %)."""
    return " | ".join(
        f"{region.name} {region.from_mm:.0f}..{region.to_mm:.0f} mm ({100 * region.confidence:.0f} %)"
        for region in result.regions
    )


def _label(result: Result) -> str:
    return f"{result.path} [series {result.series}]" if result.series else result.path


def _limit_threads(count: int) -> None:
    import SimpleITK
    import torch

    torch.set_num_threads(count)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(count)


def _models(options: argparse.Namespace) -> int:
    from .bundle import CARD, MODELS_VARIABLE, BundleError, available_bundles, read_manifest

    folders = available_bundles()
    if not folders:
        print(f"No models. Set {MODELS_VARIABLE} to the folder that holds them.", file=sys.stderr)
    for folder in folders:
        print(f"{folder.name}  ({folder})")
        try:
            manifest, _ = read_manifest(folder)
            lines = _first_lines(folder / CARD) or [manifest["summary"], manifest["intended_use"]]
        except BundleError as error:
            lines = [f"cannot be used: {error}"]
        print("".join(f"    {line}\n" for line in lines))
    return _OK


def _first_lines(card: Path, count: int = 3) -> list[str]:
    """The first lines of a model card that say something, without its headings."""
    if not card.is_file():
        return []
    with card.open(encoding="utf-8", errors="replace") as file:
        lines = (line.strip() for line, _ in zip(file, range(50), strict=False))
        return [line for line in lines if line and not line.startswith("#")][:count]


if __name__ == "__main__":
    sys.exit(main())
