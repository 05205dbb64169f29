"""How fast the kidney is, as users run it: from file to file in a fresh process, and a correction point at a time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ..timing import Timing, command, median_seconds, seconds_and_megabytes
from .clicks import stress

SETUP = "from SlicerHPOLib import batch; import SimpleITK; from SlicerHPOLib.kidney.segmenter import KidneySegmenter"
ACTION = "batch.segment([sys.argv[1]], sys.argv[2], model=sys.argv[3])"


def benchmark(model: str) -> None:
    """Print the figures: start-up, a volume from file to segmentation, peak memory, correction points, simulation."""
    from SlicerHPOLib.bundle import find_bundle
    from SlicerHPOLib.image import write_image

    from ..simulation.ultrasound import simulate_ultrasound

    folder = find_bundle(model)
    timing = Timing()
    timing.line("slicerhpo segment --help", median_seconds(lambda: command("segment", "--help")))
    for kidney in (True, False):  # where there is none, it is looked for twice
        image = simulate_ultrasound(1, "adult", spacing_mm=0.8, size=None, kidney=kidney).image
        with tempfile.TemporaryDirectory() as temporary:
            path = write_image(image, Path(temporary, "volume.nii.gz"))
            arguments = (str(path), str(Path(temporary, "out")), str(folder))
            seconds, megabytes = seconds_and_megabytes(SETUP, ACTION, *arguments)
        size = " x ".join(map(str, image.shape)) + " voxels" + ("" if kidney else " without a kidney")
        timing.line(f"a volume of {size}, from file to segmentation", seconds, f", peak {megabytes:.0f} MB")

    points = stress(300, 3, size=80)
    timing.line("a set of up to 12 points at 80^3, median", points.median_ms / 1000)
    timing.line("a set of up to 12 points at 80^3, 95th percentile", points.p95_ms / 1000)
    start = time.perf_counter()
    for seed in range(5):
        simulate_ultrasound(seed)
    timing.line("simulation of a volume of 80^3, one thread", (time.perf_counter() - start) / 5)
    print(f"honoured: {points.count - points.dishonoured - points.refused} of {points.count} sets")
