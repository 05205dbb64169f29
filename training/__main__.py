"""The training system's commands: python -m training VERB TASK [options].

prepare   label maps of the user's to the anatomies that simulation images; the learning curves that searches meet
voxelise  BodyParts3D's surfaces to the whole-body map
simulate  a training set; sheet draws some of it
template  of the kidney, from the project's own shapes
train     a network
judge     what says how well the kidney's network fits
search    its hyper-parameters
evaluate  a model on simulated subjects it has not seen, and on real volumes
deploy    a trained network to the bundle that SlicerHPOLib runs
samples   the simulated volumes shipped in Resources/SampleData
benchmark the speed of what users run
report    what a search found
stress    correction points with many random sets
reproduce a table or figure

TASK is fieldofview or kidney, where a verb has both: python -m training VERB --help lists them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from SlicerHPOLib.job import Job
from SlicerHPOLib.terminal import ProgressBar

from .experiments.commands import add_commands as add_experiments
from .fieldofview.commands import add_commands as add_field_of_view
from .kidney.commands import add_commands as add_kidney
from .search.commands import add_commands as add_search


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (0 right, 2 bad input, 130 interrupted)."""
    options = _parser().parse_args(arguments)
    try:
        with _job() as job:
            options.run(options, job)
    except (ValueError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: interrupted; what was finished is kept, the same command goes on from there.", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _job() -> Iterator[Job]:
    """A job that shows a progress bar on a terminal, and a line each minute elsewhere."""
    with ProgressBar() as bar:
        said = time.monotonic()

        def report(fraction: float, text: str) -> None:
            nonlocal said
            bar.report(fraction, text)
            if not sys.stderr.isatty() and time.monotonic() - said > 60:
                said = time.monotonic()
                print(f"{100 * fraction:3.0f} % {text}", file=sys.stderr, flush=True)

        yield Job(report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    tasks: dict[str, argparse._SubParsersAction] = {}

    def verb(name: str, task: str | None, run: Callable, text: str) -> argparse.ArgumentParser:
        """The parser of a verb of a task, or of one that has no task; `run(options, job)` does it."""
        if task is not None and name not in tasks:
            tasks[name] = verbs.add_parser(name, help=text).add_subparsers(required=True, metavar="TASK")
        command = (verbs if task is None else tasks[name]).add_parser(
            task or name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.set_defaults(run=run)
        return command

    command = verb("prepare", "labelmaps", _prepare, "prepare label maps for simulation")
    command.add_argument("--source", required=True, metavar="DIR", help="folder with the label maps")
    command.add_argument("--out", required=True, metavar="DIR")

    command = verb("voxelise", "bodyparts3d", _voxelise, "build the whole-body label map from BodyParts3D surfaces")
    command.add_argument("--source", required=True, metavar="DIR", help="folder with the .obj files")
    command.add_argument(
        "--out", required=True, metavar="FILE", help="wholebody.npz in a folder of --maps, or an image"
    )
    command.add_argument("--spacing", type=float, default=1.5, help="of the voxels in mm")

    add_field_of_view(verb)
    add_kidney(verb)
    add_search(verb)
    add_experiments(verb)
    return parser


def _prepare(options, job: Job) -> None:
    from .simulation.labelmapcache import prepare_label_maps

    for path in prepare_label_maps(options.source, options.out, job):
        print(path)


def _voxelise(options, job: Job) -> None:
    from SlicerHPOLib.image import Image, write_image

    from .simulation.bodyparts3d import build_bodyparts3d
    from .simulation.labelmapcache import save_anatomy

    body = build_bodyparts3d(options.source, spacing_mm=options.spacing, job=job)
    out = Path(options.out)
    if out.suffix == ".npz":
        print(save_anatomy(body, out))
    else:
        print(write_image(Image(body.labels, body.ijk_to_ras, name="bodyparts3d"), out))


if __name__ == "__main__":
    sys.exit(main())
