"""The kidney's commands: python -m training VERB kidney."""

from __future__ import annotations

from dataclasses import replace
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
    command.add_argument(
        "--spacings",
        dest="spacings_mm",
        type=float,
        nargs="+",
        default=[2.0, 3.0, 4.0],
        help="of the voxels in mm: the finest in which a volume fits is taken",
    )
    command.add_argument("--adults", type=float, metavar="SHARE", help="of adults (default: 0.6)")
    command.add_argument(
        "--empty", dest="empty_share", type=float, default=0.08, metavar="SHARE", help="without a kidney"
    )
    command.add_argument("--mr", action="store_true", help="MR of any part of the body instead, without a kidney")
    command.add_argument("--maps", metavar="DIR", help="label maps for --mr, see `simulate fieldofview`")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=2)

    command = verb("sheet", TASK, _sheet, "draw simulated ultrasound in three planes with the true outline")
    command.add_argument("--out", required=True, metavar="FILE.png")
    command.add_argument("--seed", type=int, default=0)

    command = verb("template", TASK, _template, "build the template from the project's own parametric shapes")
    command.add_argument("--out", required=True, metavar="FILE.safetensors")

    command = verb("train", TASK, _train, "train a network; goes on from its checkpoint")
    command.add_argument("--data", required=True, nargs="+", metavar="DIR", help="data sets that were simulated")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--template", metavar="FILE", help="made by `template kidney`; without it, it is made first")
    command.add_argument("--method", choices=METHODS, default=METHODS[0])
    command.add_argument("--initial", metavar="DIR", help="training or model whose network is trained further")
    command.add_argument(
        "--first-look",
        metavar="DIR",
        help="training with --method unet, or model: its is the first look, and only the second is trained",
    )
    command.add_argument("--look-base", type=int, default=8, help="filters of the second look's first convolution")
    command.add_argument("--looks", type=int, default=2, help="how often the second look is taken")
    command.add_argument(
        "--pool", type=int, default=1, help="the first look sees means of so many voxels along each axis"
    )
    command.add_argument("--levels", type=int, default=4, help="of resolution of the U-Net or first look")
    command.add_argument("--base", type=int, default=8, help="filters of the first convolution")
    command.add_argument("--reference", action="store_true", help="the source's U-Net instead of the light one")
    command.add_argument("--dropout", type=float, default=0.0)
    command.add_argument("--learning-rate", type=float, default=3e-3)
    command.add_argument("--weight-decay", type=float, default=1e-3)
    command.add_argument("--steps", type=int, default=9000)
    command.add_argument("--batch", type=int, default=2)
    command.add_argument("--every", type=int, default=2, help="phi is compared at every so manyeth voxel of each axis")
    command.add_argument("--nearer", type=float, default=0.0, help="part of the volumes seen from nearer, of a U-Net")
    command.add_argument("--augmentation", type=float, default=1.0, help="its strength, 0 for none")
    command.add_argument("--children", type=float, default=0.5, help="probability of drawing a child")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    command.add_argument("--threads", type=int, help="of the CPU")

    command = verb("average", TASK, _average, "take the mean of trainings that went on from one another")
    command.add_argument("--runs", required=True, nargs="+", metavar="DIR", help="folders of trainings")
    command.add_argument("--out", required=True, metavar="DIR")

    command = verb("transfer", TASK, _transfer, "take a trained network to another population")
    command.add_argument("--source", required=True, metavar="NAME|DIR", help="a model, or the folder of a training")
    command.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="DIR",
        help="of the other population: simulated, or volumes in images/ with masks of the same names in masks/",
    )
    command.add_argument("--out", required=True, metavar="DIR", help="a model where the source is one, else a training")
    command.add_argument(
        "--strategy",
        help="of a model: layers; of a U-Net's training: fine-tuning, 'up to N', 'from N' (convolutions), "
        "'fixed convolutions', geometric, intensity, or 'geometric + intensity' (default)",
    )
    command.add_argument(
        "--adults",
        nargs="+",
        metavar="DIR",
        help="of a model's own population: of their sizes mean and covariance are kept",
    )
    command.add_argument("--guard", type=float, default=0.0, help="weight of what the network answered before")
    command.add_argument("--pool", type=int, default=2, help="of a U-Net's volumes, as in its training")
    command.add_argument("--learning-rate", type=float, default=1e-3)
    command.add_argument("--steps", type=int, default=400)
    command.add_argument("--batch", type=int, default=4)
    command.add_argument("--augmentation", type=float, default=1.0, help="its strength, 0 for none")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    command.add_argument("--threads", type=int, help="of the CPU")

    command = verb("judge", TASK, _judge, "train what says how well the network's answer fits")
    command.add_argument("--run", required=True, dest="run_dir", metavar="DIR", help="training, or model")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--volumes", type=int, default=2400, help="that are simulated and looked at")
    command.add_argument("--learning-rate", type=float, default=2e-3)
    command.add_argument("--steps", type=int, default=3000)
    command.add_argument("--batch", type=int, default=32)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=2)

    command = verb("evaluate", TASK, _evaluate, "measure a model on simulated subjects")
    command.add_argument("--model", default=str(BUNDLE), metavar="NAME|DIR")
    command.add_argument("--volumes", type=int, default=30, help="of adults, of children, and without a kidney each")
    command.add_argument("--first", type=int, default=0, metavar="N", help="of the volumes, from 0")
    command.add_argument("--masks", metavar="DIR", help="folder of kidney masks to take the shapes from")
    command.add_argument("--plain", action="store_true", help="subjects of a plainer simulation, never trained on")
    command.add_argument("--method", choices=("deformation", "unet", "classical"), default="deformation")
    command.add_argument("--population", choices=("auto", "adult", "child"), default="auto")
    command.add_argument("--clicks", action="store_true", help="run the click robot too")

    command = verb("deploy", TASK, _deploy, "calibrate, measure and write the bundle with its model card")
    command.add_argument(
        "--run", required=True, dest="run_dir", metavar="DIR", help="training, or model to measure anew"
    )
    command.add_argument("--out", default=str(BUNDLE), metavar="DIR")
    command.add_argument("--volumes", type=int, default=30, help="of each group to measure on")
    command.add_argument("--transfer-table", metavar="FILE", help="table-3.1.md, for the card")

    command = verb("samples", TASK, _samples, "write the simulated ultrasound volumes that are shipped")
    command.add_argument("--out", default=str(ROOT / "Resources" / "SampleData" / "kidney"), metavar="DIR")

    command = verb("benchmark", TASK, _benchmark, "time what users run")
    command.add_argument("--model", default=str(BUNDLE), metavar="NAME|DIR")

    command = verb("stress", TASK, _stress, "honour many random sets of correction points, and time it")
    command.add_argument("--sets", type=int, default=10_000)
    command.add_argument("--size", type=int, default=44, help="voxels along each axis")
    command.add_argument("--seed", type=int, default=0)


def _simulate(options, job: Job) -> None:
    from . import other_modality
    from .dataset import describe, load, simulate

    settings = {name: getattr(options, name) for name in ("volumes", "size", "seed", "workers")}
    if options.mr:
        folder = other_modality.simulate(options.out, **settings, maps_dir=options.maps, job=job)
    else:
        settings |= {name: getattr(options, name) for name in ("spacings_mm", "adults", "empty_share")}
        folder = simulate(options.out, **settings, job=job)
    print(f"{options.out}: {describe(load(folder))}")


def _sheet(options, job: Job) -> None:
    from ..simulation.ultrasound_figure import figure

    print(figure(options.out, options.seed, job=job))


def _template(options, job: Job) -> None:
    from SlicerHPOLib.kidney.template import save_template

    from .shapes import shipped_template

    print(save_template(shipped_template(), options.out))


def _train(options, job: Job) -> None:
    import torch
    from SlicerHPOLib.kidney.deformation import LOOK, DeformationParameters
    from SlicerHPOLib.kidney.template import load_template
    from SlicerHPOLib.kidney.unet import UNetParameters

    from ..options import fields_of
    from .pairs import load
    from .shapes import shipped_template
    from .train import TrainingPlan, train

    if options.threads:
        torch.set_num_threads(options.threads)
    base = 32 if options.reference else options.base
    light = not options.reference
    encoder = UNetParameters(base=base, levels=options.levels, strided=light, dropout=options.dropout, instance=light)
    poses = dict(zip(METHODS, ("moments", "none", "regressed"), strict=False))
    if options.method == "unet":
        network, template = encoder, None
    else:
        look = replace(LOOK, base=options.look_base)
        pose = poses[options.method]
        network = DeformationParameters(encoder, look, options.pool, options.looks, pose=pose)
        template = load_template(options.template) if options.template else shipped_template()
    weight = 0.0 if options.first_look else TrainingPlan.dense_weight
    pool = options.pool if options.method == "unet" else 1  # the others pool in the network
    plan = fields_of(TrainingPlan, options, network=network, dense_weight=weight, pool=pool)
    print(train(load(*options.data), options.out, plan, template, job, options.initial, options.first_look))


def _average(options, job: Job) -> None:
    from .train import average

    print(average(options.runs, options.out))


def _transfer(options, job: Job) -> None:
    import torch
    from SlicerHPOLib.bundle import find_bundle, read_bundle
    from SlicerHPOLib.kidney.deformation import DeformationNetwork
    from SlicerHPOLib.kidney.segmenter import KidneySegmenter

    from ..options import fields_of
    from .dataset import EMPTY, pooled
    from .deploy import adapted_bundle
    from .pairs import load
    from .train import CHECKPOINT, stage, trained
    from .transfer import LAYERS, TransferPlan, transfer

    if options.threads:
        torch.set_num_threads(options.threads)
    bundle, stages, run = None, [], Path(options.out)
    volumes, adults = load(*options.data), load(*options.adults) if options.adults else None
    if (Path(options.source) / CHECKPOINT).is_file():
        network, state = trained(options.source)
        stages = [*state["before"], stage(state)]
    else:
        bundle = read_bundle(find_bundle(options.source))
        segmenter, run = KidneySegmenter.load(bundle), run.with_name(f"{run.name}-training")
        network, size = segmenter.network, volumes.images.shape[-1]
        if size != segmenter.size:
            raise ValueError(f"The model works on {segmenter.size}^3 voxels, the volumes have {size}^3: make them so.")
    deforms = isinstance(network, DeformationNetwork)
    options.strategy = options.strategy or (LAYERS if deforms else "geometric + intensity")
    if (kidneys := int((volumes.population != EMPTY).sum())) < 2:
        print(f"warning: {kidneys} kidney is little to learn from; the result may suit that one only")
    if deforms and adults is None and not (network.plan.adapted and bool(network.gate.means.any())):
        print("warning: without --adults nothing tells children from adults; ask for --population child where one is")
    if not deforms:
        volumes = pooled(volumes, options.pool)
    plan = fields_of(TransferPlan, options)
    model = transfer(network, volumes, plan, run, job, adults=adults, stages=stages)
    if bundle is None:
        print(run / CHECKPOINT)
    else:
        print(adapted_bundle(bundle, model.network, stage(trained(run)[1]), options.out))


def _judge(options, job: Job) -> None:
    from ..options import fields_of
    from .judging import JudgePlan, train_judge

    print(train_judge(options.run_dir, options.out, fields_of(JudgePlan, options), options.workers, job))


def _evaluate(options, job: Job) -> None:
    from SlicerHPOLib.image import find_images
    from SlicerHPOLib.kidney.segmenter import KidneySegmenter

    from .evaluate import TEST_SEED, answers, clicked, describe, report, simulated_cases

    segmenter = KidneySegmenter.load(options.model)
    masks = tuple(source.read() for source in find_images(options.masks)) if options.masks else ()
    cases = []
    asked = simulated_cases(options.volumes, TEST_SEED, masks=masks, plain=options.plain, first=options.first)
    for n, case in enumerate(asked):
        job.progress(0.4 * n / (3 * options.volumes), "simulating volumes")
        cases.append(case)

    def watched():
        for n, case in enumerate(cases):
            job.progress(0.4 + 0.3 * n / len(cases), "segmenting")
            yield case

    found = report(answers(segmenter, watched(), options.method, options.population), segmenter.least_confidence)
    subjects = "subjects of the plain simulation" if options.plain else "simulated subjects"
    print(describe(f"{subjects}, {options.method}", found))
    if options.clicks:
        for curve in clicked(segmenter, [case for case in cases if case.group != "empty"], job=job.part(0.7, 1.0)):
            print(curve)


def _deploy(options, job: Job) -> None:
    from .deploy import deploy

    table = ""
    if options.transfer_table:
        if not Path(options.transfer_table).is_file():
            raise ValueError(f"{options.transfer_table} is no file; python -m training reproduce table-3.1 writes one.")
        table = Path(options.transfer_table).read_text().strip()
    folder = deploy(options.run_dir, options.out, test=options.volumes, transfer_table=table, job=job)
    print((folder / "README.md").read_text())


def _samples(options, job: Job) -> None:
    from .samples import write_samples

    for path in write_samples(options.out, job):
        print(path)


def _benchmark(options, job: Job) -> None:
    from .benchmark import benchmark

    benchmark(options.model)


def _stress(options, job: Job) -> None:
    from .clicks import stress

    s = stress(options.sets, options.seed, options.size, job=job)
    print(
        f"{s.count} sets of up to 12 points at {options.size}^3: {s.refused} refused, {s.dishonoured} with a point not "
        f"honoured, {s.torn} torn; least Jacobian {s.min_jacobian:.4f}; {s.median_ms:.1f} ms (median), "
        f"{s.p95_ms:.1f} ms (95 %) a set"
    )
