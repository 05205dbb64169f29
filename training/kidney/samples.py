"""The simulated volumes shipped in Resources/SampleData/kidney: adults and children, one with hydronephrosis, and one
volume without a kidney."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from SlicerHPOLib.image import write_image
from SlicerHPOLib.job import Job

from ..simulation.ultrasound import simulate_ultrasound

SPACING_MM = 1.6
SAMPLES = {
    "adult-right": (301, "adult", {"side": "right"}),
    "child-5-years-left": (302, "child", {"age_years": 5.0, "side": "left"}),
    "child-hydronephrosis": (303, "child", {"age_years": 9.0, "hydronephrosis": 3}),
    "no-kidney": (304, "adult", {"kidney": False}),
}


def write_samples(out: str | Path, job: Job = Job()) -> list[Path]:
    """Write every sample as NIfTI to folder `out`; the same files, bit for bit, at every call."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for n, (name, (seed, population, traits)) in enumerate(SAMPLES.items()):
        job.progress(n / len(SAMPLES), name)
        subject = simulate_ultrasound(seed, population, spacing_mm=SPACING_MM, size=None, **traits)
        paths.append(write_image(replace(subject.image, name=name), out / f"{name}.nii.gz"))
    return paths
