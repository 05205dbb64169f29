"""How fast the field of view is, as users run it: whole commands in fresh processes, and the parts within one."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from ..timing import Timing, command, median_seconds, seconds_and_megabytes

SLICES = 400
SETUP = "from SlicerHPOLib import batch; import SimpleITK; from SlicerHPOLib.fieldofview.classifier import Classifier"
ACTION = "batch.classify([sys.argv[1]], model=sys.argv[2], csv=sys.argv[3], json=sys.argv[4])"


def benchmark(model: str) -> None:
    """Print the figures: start-up, a 400-slice volume, peak memory, the region decision on 1,000 slices, simulation."""
    from SlicerHPOLib.bundle import find_bundle
    from SlicerHPOLib.image import Image, write_image

    folder = find_bundle(model)
    timing = Timing()
    timing.line("slicerhpo --help", median_seconds(lambda: command("--help")))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "volume.nii.gz")
        rng = np.random.default_rng(0)
        k, j, i = np.ogrid[:SLICES, :256, :256]
        voxels = 800 * (((i - 128) / 100) ** 2 + ((j - 128) / 70) ** 2 < 1) + rng.normal(50, 20, (SLICES, 256, 256)) + k
        write_image(Image(voxels.astype(np.int16), np.diag([1.5, 1.5, 2.0, 1.0]), name="volume"), path)
        outputs = [str(Path(temporary, name)) for name in ("regions.csv", "regions.json")]
        seconds, megabytes = seconds_and_megabytes(SETUP, ACTION, str(path), str(folder), *outputs)
        timing.line(
            f"a {SLICES}-slice volume read, classified, decided, written", seconds, f", peak {megabytes:.0f} MB"
        )

    timing.line("region decision with confidence, 1,000 slices", median_seconds(_decision, 20))
    count, seconds = _simulated_slices()
    print(f"simulation, one process: {count / seconds:.0f} slices of 128 x 128 a second")


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
