"""The field of view's commands: python -m training VERB fieldofview."""

from __future__ import annotations

from pathlib import Path

from SlicerHPOLib.job import Job

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "Resources" / "Models" / "mr-field-of-view"
TASK = "fieldofview"


def add_commands(verb) -> None:
    """Define them; see `training.__main__`."""

    def maps(command) -> None:
        command.add_argument(
            "--maps",
            dest="maps_dir",
            metavar="DIR",
            help="label maps prepared by `prepare labelmaps`; without it only procedural bodies are imaged",
        )

    command = verb("simulate", TASK, _simulate, "simulate a training set of axial MR slices")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--volumes", type=int, default=8000)
    command.add_argument("--slices", dest="per_volume", type=int, default=12, help="at most, of a volume")
    command.add_argument("--size", type=int, default=96, help="of a slice in pixels")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=2)
    maps(command)

    command = verb("sheet", TASK, _sheet, "draw simulated MR slices")
    command.add_argument("--out", required=True, metavar="FILE.png")
    command.add_argument("--seed", type=int, default=0)
    maps(command)

    command = verb("train", TASK, _train, "train a network; goes on from its checkpoint")
    command.add_argument("--data", required=True, metavar="DIR")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--initial", metavar="DIR", help="folder of a training whose network is trained further")
    command.add_argument("--size", dest="input_size", type=int, default=96, help="of the input; slices are resized")
    command.add_argument("--channels", type=int, default=2, help="1: the slice alone; 2: and its physical size")
    command.add_argument("--blocks", type=int, default=5)
    command.add_argument("--layers", type=int, default=2)
    command.add_argument("--filters", type=int, default=32)
    command.add_argument("--kernel", type=int, default=3)
    command.add_argument("--separable", action="store_true")
    command.add_argument("--hidden", type=int, nargs="*", default=[256])
    command.add_argument("--dropout", type=float, default=0.5)
    command.add_argument(
        "--normalised", action="store_true", help="batch normalisation in training, folded when deployed"
    )
    command.add_argument("--doubling", action="store_true", help="of the filters from block to block")
    command.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    command.add_argument("--learning-rate", type=float, default=1e-3)
    command.add_argument("--weight-decay", type=float, default=0.02)
    command.add_argument("--epochs", type=int, default=10)
    command.add_argument("--slices", dest="epoch_slices", type=int, help="of an epoch; all of the data set by default")
    command.add_argument("--batch", type=int, default=64)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    command.add_argument("--threads", type=int, help="of the CPU")

    command = verb("search", TASK, _search, "search the networks of table 2.7; goes on where it was stopped")
    command.add_argument("--data", required=True, metavar="DIR")
    command.add_argument("--study", required=True, metavar="FILE", help="journal; several processes may share it")
    command.add_argument("--trials", metavar="DIR", help="of the trainings; beside the journal by default")
    command.add_argument(
        "--method",
        default="bayesian-hyperband",
        choices=("random", "bayesian", "hyperband", "bayesian-hyperband", "dehb"),
    )
    command.add_argument("--trainings", type=int, default=198, help="results until the search ends")
    command.add_argument("--resource", dest="epochs", type=int, default=9, help="of a full training, in units")
    command.add_argument("--slices", dest="epoch_slices", type=int, default=3072, help="of a unit of training")
    command.add_argument("--size", dest="input_size", type=int, default=64, help="of the input; slices are resized")
    command.add_argument("--channels", type=int, default=2, help="1: the slice alone; 2: and its physical size")
    command.add_argument("--hidden", type=int, nargs="*", default=[256])
    command.add_argument("--dropout", type=float, default=0.3)
    command.add_argument("--normalised", action="store_true", help="batch normalisation in training")
    command.add_argument("--doubling", action="store_true", help="of the filters from block to block")
    command.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="where trainings are done")
    command.add_argument(
        "--workers", type=int, default=2, help="trainings at a time by ray; local: start more searches"
    )
    command.add_argument("--gpus", type=float, default=0.0, help="of each training by ray, a fraction to share one")
    command.add_argument("--most-weights", type=int, default=3_000_000, help="of a network")
    command.add_argument("--most-multiply-adds", type=int, default=100_000_000, help="of a network for one slice")
    command.add_argument("--most-seconds", type=float, default=600, help="of a unit; what takes longer has failed")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    command.add_argument("--threads", type=int, help="of the CPU")

    command = verb("evaluate", TASK, _evaluate, "measure a model on simulated subjects and on real volumes")
    command.add_argument("--model", default=str(BUNDLE), metavar="NAME|DIR")
    command.add_argument("--volumes", type=int, default=100, help="simulated ones; 0: none")
    command.add_argument("--real", metavar="DIR", help="folder with manifest.csv (columns file, part)")
    maps(command)

    command = verb("deploy", TASK, _deploy, "calibrate, measure and write the bundle with its model card")
    command.add_argument("--run", required=True, dest="run_dir", metavar="DIR", help="folder of a training")
    command.add_argument("--out", default=str(BUNDLE), metavar="DIR")
    command.add_argument("--volumes", type=int, default=100, help="simulated ones to measure on")
    command.add_argument("--real", metavar="DIR", help="folder with manifest.csv (columns file, part)")
    maps(command)

    command = verb("samples", TASK, _samples, "write the simulated MR volumes that are shipped")
    command.add_argument("--out", default=str(ROOT / "Resources" / "SampleData" / "mr"), metavar="DIR")

    command = verb("benchmark", TASK, _benchmark, "time what users run")
    command.add_argument("--model", default=str(BUNDLE), metavar="NAME|DIR")


def _simulate(options, job: Job) -> None:
    from .dataset import load, simulate
    from .sheet import shares

    settings = {
        name: getattr(options, name) for name in ("volumes", "per_volume", "size", "seed", "maps_dir", "workers")
    }
    slices = load(simulate(options.out, **settings, job=job))
    print(f"{options.out}: {len(slices)} slices of {options.volumes} volumes; {shares(slices.labels)}")


def _sheet(options, job: Job) -> None:
    from .sheet import contact_sheet

    print(contact_sheet(options.out, seed=options.seed, maps_dir=options.maps_dir, job=job))


def _train(options, job: Job) -> None:
    import torch
    from SlicerHPOLib.fieldofview.network import Architecture

    from ..options import fields_of
    from .train import TrainingPlan, train

    if options.threads:
        torch.set_num_threads(options.threads)
    plan = fields_of(TrainingPlan, options, architecture=fields_of(Architecture, options))
    print(train(options.data, options.out, plan, job, options.initial))


def _search(options, job: Job) -> None:
    from functools import partial

    import torch
    from SlicerHPOLib.fieldofview.network import Architecture

    from ..options import fields_of
    from ..search.engine import InTurn
    from ..search.ray_engine import RayEngine
    from .search import describe, search
    from .train import TrainingPlan

    if options.threads:
        torch.set_num_threads(options.threads)
    base = fields_of(TrainingPlan, options, architecture=fields_of(Architecture, options), schedule="constant")
    limits = {name: getattr(options, name) for name in ("most_weights", "most_multiply_adds", "most_seconds")}
    ray = partial(RayEngine, workers=options.workers, gpus=options.gpus)
    study = search(
        options.data,
        options.study,
        base,
        options.trainings,
        method=options.method,
        trials=options.trials,
        job=job,
        engine=ray if options.engine == "ray" else InTurn,
        **limits,
    )
    print(describe(study))
    print(f"study {study.optuna.study_name} in {options.study}")


def _evaluate(options, job: Job) -> None:
    from SlicerHPOLib.bundle import find_bundle
    from SlicerHPOLib.fieldofview.classifier import Classifier

    from .evaluate import TEST_SEED, describe, measure, real_cases, simulated_cases

    classifier = Classifier.load(find_bundle(options.model))
    if options.volumes:
        cases = simulated_cases(classifier, options.volumes, TEST_SEED, options.maps_dir, job=job)
        print(describe("simulated", measure(cases, classifier.decision)))
    if options.real:
        print(describe("real", measure(real_cases(classifier, options.real, job), classifier.decision)))


def _deploy(options, job: Job) -> None:
    from .deploy import deploy

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
    from .samples import write_samples

    for path in write_samples(options.out, job):
        print(path)


def _benchmark(options, job: Job) -> None:
    from .benchmark import benchmark

    benchmark(options.model)
