"""Times for benchmarks. They depend on the machine, and are shown beside a reference that tells how fast it is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np


class Timing:
    """Prints times as seconds and as ratios to a fixed piece of numpy arithmetic, timed when this is made."""

    def __init__(self):
        self.reference = median_seconds(_products)
        print(f"reference: ten 512 x 512 matrix products on this machine {1000 * self.reference:.1f} ms")

    def line(self, name: str, seconds: float, note: str = "") -> None:
        """Print one time."""
        print(f"{name}: {seconds:.4g} s, {seconds / self.reference:.4g} x reference{note}")


def median_seconds(action: Callable[[], object], runs: int = 5) -> float:
    """The median time of an action."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def command(*arguments: str) -> None:
    """Run `slicerhpo` in a fresh process."""
    subprocess.run([sys.executable, "-m", "SlicerHPOLib", *arguments], capture_output=True, check=True)


def seconds_and_megabytes(setup: str, action: str, *arguments: str) -> tuple[float, float]:
    """Time of `action` after `setup` (Python), with `arguments` in sys.argv, on two threads in a fresh process, and the
    process's largest memory."""
    script = (
        f"import resource, sys, time; import torch; torch.set_num_threads(2); {setup}; start = time.perf_counter(); "
        f"{action}; print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    run = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    seconds, megabytes = (float(word) for word in run.stdout.split()[-2:])
    return seconds, megabytes


def _products() -> None:
    matrix = np.ones((512, 512))
    for _ in range(10):
        matrix @ matrix
