"""The training system's commands: python -m training VERB TASK [options].

prepare   label maps of the user's to the anatomies that simulation images
voxelise  BodyParts3D's surfaces to the whole-body map
simulate  a training set; sheet draws some of its slices
train     a network on it
evaluate  a model on simulated subjects it has not seen, and on real volumes
deploy    a trained network to the bundle that SlicerHPOLib runs
samples   the simulated volumes shipped in Resources/SampleData
benchmark the speed of what users run
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from SlicerHPOLib.job import Job
from SlicerHPOLib.terminal import ProgressBar

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "Resources" / "Models" / "mr-field-of-view"


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


def _simulate(options, job: Job) -> None:
    from .fieldofview.dataset import load, simulate
    from .fieldofview.sheet import shares

    settings = {
        name: getattr(options, name) for name in ("volumes", "per_volume", "size", "seed", "maps_dir", "workers")
    }
    slices = load(simulate(options.out, **settings, job=job))
    print(f"{options.out}: {len(slices)} slices of {options.volumes} volumes; {shares(slices.labels)}")


def _sheet(options, job: Job) -> None:
    if options.task == "kidney":
        from .simulation.ultrasound_figure import figure

        print(figure(options.out, options.seed, job=job))
        return
    from .fieldofview.sheet import contact_sheet

    print(contact_sheet(options.out, seed=options.seed, maps_dir=options.maps_dir, job=job))


def _train(options, job: Job) -> None:
    import torch
    from SlicerHPOLib.fieldofview.network import Architecture

    from .fieldofview.train import TrainingPlan, train

    if options.threads:
        torch.set_num_threads(options.threads)
    plan = _fields(TrainingPlan, options, architecture=_fields(Architecture, options))
    print(train(options.data, options.out, plan, job, options.initial))


def _fields(kind, options, **given):
    """A dataclass whose fields are the options of the same name; the others have their defaults."""
    return kind(**{f.name: getattr(options, f.name) for f in fields(kind) if hasattr(options, f.name)}, **given)


def _evaluate(options, job: Job) -> None:
    from SlicerHPOLib.bundle import find_bundle
    from SlicerHPOLib.fieldofview.classifier import Classifier

    from .fieldofview.evaluate import TEST_SEED, describe, measure, real_cases, simulated_cases

    classifier = Classifier.load(find_bundle(options.model))
    if options.volumes:
        cases = simulated_cases(classifier, options.volumes, TEST_SEED, options.maps_dir, job=job)
        print(describe("simulated", measure(cases, classifier.decision)))
    if options.real:
        print(describe("real", measure(real_cases(classifier, options.real, job), classifier.decision)))


def _deploy(options, job: Job) -> None:
    from .fieldofview.deploy import deploy

    folder = deploy(
        options.run_dir,
        options.out,
        maps_dir=options.maps_dir,
        real_dir=options.real,
        test_volumes=options.volumes,
        job=job,
    )
    print((folder / "README.md").read_text())


def _samples(options, job: Job) -> None:
    from .fieldofview.samples import write_samples

    for path in write_samples(options.out, job):
        print(path)


def _benchmark(options, job: Job) -> None:
    from .fieldofview.benchmark import benchmark

    benchmark(options.model)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run, text: str, tasks=("fieldofview",)) -> argparse.ArgumentParser:
        command = verbs.add_parser(
            name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.add_argument("task", choices=tasks)
        command.set_defaults(run=run)
        return command

    def maps(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--maps",
            dest="maps_dir",
            metavar="DIR",
            help="label maps prepared by `prepare labelmaps`; without it only procedural bodies are imaged",
        )

    command = verb("prepare", _prepare, "prepare label maps for simulation", ("labelmaps",))
    command.add_argument("--source", required=True, metavar="DIR", help="folder with the label maps")
    command.add_argument("--out", required=True, metavar="DIR")

    command = verb("voxelise", _voxelise, "build the whole-body label map from BodyParts3D surfaces", ("bodyparts3d",))
    command.add_argument("--source", required=True, metavar="DIR", help="folder with the .obj files")
    command.add_argument(
        "--out", required=True, metavar="FILE", help="wholebody.npz in a folder of --maps, or an image"
    )
    command.add_argument("--spacing", type=float, default=1.5, help="of the voxels in mm")

    command = verb("simulate", _simulate, "simulate a training set")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--volumes", type=int, default=8000)
    command.add_argument("--slices", dest="per_volume", type=int, default=12, help="at most, of a volume")
    command.add_argument("--size", type=int, default=96, help="of a slice in pixels")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=2)
    maps(command)

    command = verb("sheet", _sheet, "draw what is simulated: MR slices, kidney ultrasound", ("fieldofview", "kidney"))
    command.add_argument("--out", required=True, metavar="FILE.png")
    command.add_argument("--seed", type=int, default=0)
    maps(command)

    command = verb("train", _train, "train a network; goes on from its checkpoint")
    command.add_argument("--data", required=True, metavar="DIR")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--initial", metavar="DIR", help="folder of a training whose network is trained further")
    command.add_argument("--size", dest="input_size", type=int, default=96)
    command.add_argument("--channels", type=int, default=2, help="1: the slice alone; 2: and its physical size")
    command.add_argument("--blocks", type=int, default=5)
    command.add_argument("--layers", type=int, default=2)
    command.add_argument("--filters", type=int, default=32)
    command.add_argument("--kernel", type=int, default=3)
    command.add_argument("--separable", action="store_true")
    command.add_argument("--hidden", type=int, nargs="*", default=[256])
    command.add_argument("--dropout", type=float, default=0.5)
    command.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    command.add_argument("--learning-rate", type=float, default=1e-3)
    command.add_argument("--weight-decay", type=float, default=0.02)
    command.add_argument("--epochs", type=int, default=10)
    command.add_argument("--batch", type=int, default=64)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    command.add_argument("--threads", type=int, help="of the CPU")

    command = verb("evaluate", _evaluate, "measure a model on simulated subjects and on real volumes")
    command.add_argument("--model", default=str(BUNDLE), metavar="NAME|DIR")
    command.add_argument("--volumes", type=int, default=100, help="simulated ones; 0: none")
    command.add_argument("--real", metavar="DIR", help="folder with manifest.csv (columns file, part)")
    maps(command)

    command = verb("deploy", _deploy, "calibrate, measure and write the bundle with its model card")
    command.add_argument("--run", required=True, dest="run_dir", metavar="DIR", help="folder of a training")
    command.add_argument("--out", default=str(BUNDLE), metavar="DIR")
    command.add_argument("--volumes", type=int, default=100, help="simulated ones to measure on")
    command.add_argument("--real", metavar="DIR", help="folder with manifest.csv (columns file, part)")
    maps(command)

    command = verb("samples", _samples, "write the simulated sample volumes")
    command.add_argument("--out", default=str(ROOT / "Resources" / "SampleData"), metavar="DIR")

    command = verb("benchmark", _benchmark, "time what users run")
    command.add_argument("--model", default=str(BUNDLE), metavar="NAME|DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
