"""The kidney's commands: python -m training VERB kidney."""

from __future__ import annotations

from pathlib import Path

from SlicerHPOLib.job import Job

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "Resources" / "Models" / "kidney-ultrasound"
TASK = "kidney"
METHODS = ("pose+deformation", "deformation", "regressed-pose+deformation", "unet")


def add_commands(verb) -> None:
    """Define them; see `training.__main__`."""
    command = verb("simulate", TASK, _simulate, "simulate a training set of 3D ultrasound")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--volumes", type=int, default=1000)
    command.add_argument("--size", type=int, default=80, help="voxels along each axis")
    command.add_argument("--spacing", dest="spacing_mm", type=float, default=4.0, help="of the voxels in mm")
    command.add_argument("--adults", type=float, metavar="SHARE", help="of adults (default: 0.6)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=2)

    command = verb("sheet", TASK, _sheet, "draw simulated ultrasound in three planes with the true outline")
    command.add_argument("--out", required=True, metavar="FILE.png")
    command.add_argument("--seed", type=int, default=0)

    command = verb("template", TASK, _template, "build the template from the project's own parametric shapes")
    command.add_argument("--out", required=True, metavar="FILE.safetensors")

    command = verb("train", TASK, _train, "train a network; goes on from its checkpoint")
    command.add_argument("--data", required=True, metavar="DIR")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--template", metavar="FILE", help="made by `template kidney`; without it, it is made first")
    command.add_argument("--method", choices=METHODS, default=METHODS[0])
    command.add_argument("--initial", metavar="DIR", help="folder of a training whose network is trained further")
    command.add_argument("--base", type=int, default=8, help="filters of the first convolution")
    command.add_argument("--reference", action="store_true", help="the source's U-Net instead of the light one")
    command.add_argument("--dropout", type=float, default=0.1)
    command.add_argument("--learning-rate", type=float, default=2e-3)
    command.add_argument("--weight-decay", type=float, default=1e-3)
    command.add_argument("--steps", type=int, default=4000)
    command.add_argument("--batch", type=int, default=4)
    command.add_argument("--children", type=float, default=0.5, help="probability of drawing a child")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    command.add_argument("--threads", type=int, help="of the CPU")


def _simulate(options, job: Job) -> None:
    from .dataset import describe, load, simulate

    settings = {name: getattr(options, name) for name in ("volumes", "size", "spacing_mm", "adults", "seed", "workers")}
    print(f"{options.out}: {describe(load(simulate(options.out, **settings, job=job)))}")


def _sheet(options, job: Job) -> None:
    from ..simulation.ultrasound_figure import figure

    print(figure(options.out, options.seed, job=job))


def _template(options, job: Job) -> None:
    from SlicerHPOLib.kidney.template import save_template

    from .shapes import shipped_template

    print(save_template(shipped_template(), options.out))


def _train(options, job: Job) -> None:
    import json

    import torch
    from SlicerHPOLib.kidney.deformation import DeformationParameters
    from SlicerHPOLib.kidney.template import load_template
    from SlicerHPOLib.kidney.unet import UNetParameters

    from ..options import fields_of
    from .dataset import load
    from .shapes import shipped_template
    from .train import TrainingPlan, train

    if options.threads:
        torch.set_num_threads(options.threads)
    base = 32 if options.reference else options.base
    encoder = UNetParameters(base=base, strided=not options.reference, dropout=options.dropout)
    described = json.loads((Path(options.data) / "dataset.json").read_text())
    poses = dict(zip(METHODS, ("moments", "none", "regressed"), strict=False))
    if options.method == "unet":
        network, template = encoder, None
    else:
        network = DeformationParameters(encoder=encoder, pose=poses[options.method], spacing_mm=described["spacing_mm"])
        template = load_template(options.template) if options.template else shipped_template()
    plan = fields_of(TrainingPlan, options, network=network)
    print(train(load(options.data), options.out, plan, template, job, options.initial))
