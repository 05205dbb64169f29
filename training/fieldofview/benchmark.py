"""How fast the field of view is, as users run it: whole commands in fresh processes, and the parts within one.

Times depend on the machine; the reference beside them, a fixed piece of numpy arithmetic, tells how fast this one is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SLICES = 400


def benchmark(model: str) -> None:
    """Print the figures: start-up, a 400-slice volume, peak memory, the region decision on 1,000 slices, simulation."""
    from SlicerHPOLib.bundle import find_bundle
    from SlicerHPOLib.image import Image, write_image

    folder = find_bundle(model)
    reference = _median(_reference)
    print(f"reference: 512 x 512 matrix product of this machine {1000 * reference:.1f} ms")

    def line(name: str, seconds: float, note: str = "") -> None:
        print(f"{name}: {seconds:.4g} s, {seconds / reference:.4g} x reference{note}")

    line("slicerhpo --help", _median(lambda: _command("--help")))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "volume.nii.gz")
        rng = np.random.default_rng(0)
        k, j, i = np.ogrid[:SLICES, :256, :256]
        voxels = 800 * (((i - 128) / 100) ** 2 + ((j - 128) / 70) ** 2 < 1) + rng.normal(50, 20, (SLICES, 256, 256)) + k
        write_image(Image(voxels.astype(np.int16), np.diag([1.5, 1.5, 2.0, 1.0]), name="volume"), path)
        script = (
            "import resource, sys, time; from SlicerHPOLib import batch; import torch, SimpleITK;"
            "torch.set_num_threads(2);"
            "from SlicerHPOLib.fieldofview.classifier import Classifier; start = time.perf_counter();"
            "batch.classify([sys.argv[1]], model=sys.argv[2], csv=sys.argv[3], json=sys.argv[4]);"
            "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        outputs = [str(Path(temporary, name)) for name in ("regions.csv", "regions.json")]
        run = subprocess.run(
            [sys.executable, "-c", script, str(path), str(folder), *outputs], capture_output=True, text=True, check=True
        )
        seconds, megabytes = (float(word) for word in run.stdout.split()[-2:])
        line(f"a {SLICES}-slice volume read, classified, decided, written", seconds, f", peak {megabytes:.0f} MB")

    line("region decision with confidence, 1,000 slices", _median(_decision, 20))
    count, seconds = _simulated_slices()
    print(f"simulation, one process: {count / seconds:.0f} slices of 128 x 128 a second")


def _median(action, runs: int = 5) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _reference() -> None:
    matrix = np.ones((512, 512))
    for _ in range(10):
        matrix @ matrix


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "SlicerHPOLib", *arguments], capture_output=True, check=True)


def _decision() -> None:
    from SlicerHPOLib.fieldofview.regions import decide

    scores = np.random.default_rng(0).gumbel(size=(1000, 6))
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    decide(probabilities, np.arange(1000) * 1.8)


def _simulated_slices() -> tuple[int, float]:
    from .dataset import draw_subject, volume_slices

    draw_subject(0, 0, [])
    count, start = 0, time.perf_counter()
    for index in range(20):
        volume, rng = draw_subject(0, index, [])
        count += len(volume_slices(volume, rng, 16, 128))
    return count, time.perf_counter() - start
