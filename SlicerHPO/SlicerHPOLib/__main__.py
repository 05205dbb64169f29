"""The command `slicerhpo`. Exit codes: 0 all right; 1 some volumes failed; 2 the request, or every volume, was refused;
130 interrupted. Results go to standard output, all else to standard error."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .kidney.request import AUTO, METHODS, POPULATIONS

if TYPE_CHECKING:  # the rest is imported where it is used: help and usage errors do not wait for SimpleITK and torch
    from .kidney.results import KidneyResult
    from .resultfile import VolumeResult
    from .results import Result

_OK, _SOME_FAILED, _REFUSED, _INTERRUPTED = 0, 1, 2, 130
_EPILOG = (
    "Exit code: 0 all right, 1 some volumes failed, 2 the request or every volume was refused, "
    "130 interrupted (what is finished is kept)."
)
_SEED = "--seed-point"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with these arguments (None: those of the process) and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show
    options = _parser().parse_args(_with_signs(sys.argv[1:] if arguments is None else arguments))
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


def _with_signs(arguments: list[str]) -> list[str]:
    """The arguments with the seed point in one piece: -40,12,80 on its own would be taken for an option."""
    joined = list(arguments)
    if _SEED in joined[:-1]:
        at = joined.index(_SEED)
        joined[at : at + 2] = [f"{_SEED}={joined[at + 1]}"]
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slicerhpo",
        description="Which anatomical regions MR volumes show, and the kidney in 3D ultrasound. Not for clinical use.",
    )
    parser.add_argument("--version", action="version", version=f"slicerhpo {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_classify(commands)
    _add_segment(commands)
    models = commands.add_parser("models", help="list the models", description="Lists the models that have a name.")
    models.set_defaults(run=_models)
    return parser


def _add_classify(commands) -> None:
    classify = commands.add_parser(
        "classify",
        help="regions of MR volumes and the boundaries between them",
        description="Regions (head, chest, abdomen, pelvis, legs, or spine) of MR volumes and the boundaries between "
        "them, in mm along S (RAS). Prints a line for each volume, inferior to superior.",
        epilog=_EPILOG,
    )
    add = classify.add_argument
    add("paths", nargs="+", metavar="PATH", help="a volume, a DICOM folder, or a folder of these")
    add("--csv", metavar="F", help="write a table, one row a region")
    add("--json", metavar="F", help="write the same, nested")
    add(
        "--fix-boundary",
        metavar="LOWER/UPPER=MM",
        action="append",
        type=_boundary,
        default=[],
        help="a boundary that is known, such as abdomen/chest=-120; may be given several times",
    )
    add("--skip-done", action="store_true", help="do not repeat volumes that the --csv or --json file already answers")
    _add_common(classify, "mr-field-of-view")
    classify.set_defaults(run=_classify)


def _add_segment(commands) -> None:
    segment = commands.add_parser(
        "segment",
        help="the kidney in 3D ultrasound volumes, and its measures",
        description="Segments and measures the kidney in 3D ultrasound volumes. Prints a line for each: volume, "
        "length x width x thickness, confidence, the population, and why the result may be wrong.",
        epilog=_EPILOG,
    )
    add = segment.add_argument
    add("paths", nargs="+", metavar="PATH", help="a volume, a DICOM folder, or a folder of these")
    add("--out", metavar="DIR", required=True, help="folder for the segmentations; no file but our own is replaced")
    add("--format", metavar="seg.nrrd|nii.gz", default="seg.nrrd", help="of the segmentations (default: %(default)s)")
    add(
        "--points",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        help="points inside and outside of the kidney that correct the result of one volume (.json, Slicer's .mrk.json "
        "or .fcsv)",
    )
    add("--method", metavar="|".join(METHODS), default=METHODS[0], help="(default: %(default)s)")
    add(
        "--population",
        metavar="|".join(POPULATIONS),
        default=AUTO,
        help="whose kidneys they are, where the model knows a difference (default: %(default)s, found in each volume)",
    )
    add(_SEED, metavar="R,A,S", type=_position, help="for the classical method: a point near the kidney's middle, mm")
    add("--report", metavar="F", help="write measures and how they were found, .json or .csv, an entry a volume")
    add("--skip-done", action="store_true", help="do not repeat volumes that were segmented into DIR in the same way")
    _add_common(segment, "kidney-ultrasound")
    segment.set_defaults(run=_segment)


def _add_common(command: argparse.ArgumentParser, model: str) -> None:
    add = command.add_argument
    add("--figure", metavar="F", help="one volume: a .png, .pdf or .svg file; several: a folder for a .png of each")
    add("--model", metavar="NAME|DIR", default=model, help="model to use (default: %(default)s)")
    add("--series", metavar="S", help="which DICOM series of a folder: its number or description")
    add("--frame", metavar="N", type=_whole(0), help="which image of a 4D volume, counted from 0")
    add("--quiet", action="store_true", help="print errors only")
    add("--threads", metavar="N", type=_whole(1), help="number of CPU threads (default: all)")


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


def _position(text: str) -> tuple[float, ...]:
    try:
        r, a, s = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not R,A,S in mm, such as -40,12.5,80") from None
    return r, a, s


def _classify(options: argparse.Namespace) -> int:
    from . import batch

    names = [name for name, _ in options.fix_boundary]
    if len(set(names)) < len(names):
        raise batch.BatchError("A boundary is fixed twice: give it once.")
    plan = batch.fieldofview.prepare(
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
    kept = " and ".join(str(path) for path in (plan.csv, plan.json) if path)
    return _run(options, plan, batch.fieldofview.run, describe, kept)


def _segment(options: argparse.Namespace) -> int:
    from . import batch

    plan = batch.kidney.prepare(
        options.paths,
        options.out,
        method=options.method,
        population=options.population,
        points=options.points,
        seed_point_mm=options.seed_point,
        report=options.report,
        figure=options.figure,
        format=options.format,
        model=options.model,
        skip_done=options.skip_done,
        series=options.series,
        frame=options.frame,
    )
    return _run(options, plan, batch.kidney.run, describe_kidney, str(plan.folder))


def _run(options: argparse.Namespace, plan, run, describe, kept) -> int:
    """Carries out a plan of `batch` with a line for each volume; `kept` says where the results are."""
    from .job import Job
    from .terminal import ProgressBar

    if options.threads:
        _limit_threads(options.threads)
    finished: list[VolumeResult] = []
    width = max(len(_label(volume.blank)) for volume in plan.volumes)
    with ProgressBar(shown=not options.quiet) as bar:

        def show(result: VolumeResult) -> None:
            finished.append(result)
            if result.error and len(plan.volumes) > 1:
                bar.print(f"{_label(result):<{width}}  failed: {result.error}", sys.stderr)
            elif not result.error and not options.quiet:
                bar.print(f"{_label(result):<{width}}  {describe(result)}")

        try:
            run(plan, job=Job(bar.report), on_result=show)
        except KeyboardInterrupt:
            bar.print(_interrupted(finished, len(plan.volumes), kept), sys.stderr)
            return _INTERRUPTED
    return _exit_code(finished)


def _exit_code(results: list[VolumeResult]) -> int:
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


def _interrupted(finished: list[VolumeResult], count: int, kept: str) -> str:
    done = f"{sum(not result.error for result in finished)} of {count} volumes are finished"
    if not kept:
        return f"slicerhpo: interrupted; {done}, no --csv or --json file keeps them."
    return f"slicerhpo: interrupted; {done} and kept in {kept}. The same command with --skip-done goes on from there."


def describe(result: Result) -> str:
    """The regions of a volume in one line: abdomen -312..-95 mm (98 %) | chest -95..120 mm (99 %)."""
    return " | ".join(
        f"{region.name} {region.from_mm:.0f}..{region.to_mm:.0f} mm ({100 * region.confidence:.0f} %)"
        for region in result.regions
    )


def describe_kidney(result: KidneyResult) -> str:
    """A kidney in one line: 131.4 ml | 104.2 x 52.1 x 47.9 mm | confidence 92 % | population: child (found)."""
    confidence = "no confidence" if result.confidence is None else f"confidence {100 * result.confidence:.0f} %"
    size = f"{result.length_mm:.1f} x {result.width_mm:.1f} x {result.thickness_mm:.1f} mm"
    notes = [f"warning: {warning}" for warning in result.warnings]
    if result.population_used:
        found = " (found)" if result.population == AUTO else ""
        notes.insert(0, f"population: {result.population_used}{found}")
    return " | ".join([f"{result.volume_ml:.1f} ml", size, confidence, *notes])


def _label(result: VolumeResult) -> str:
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
