"""The simulated volumes shipped in Resources/SampleData/mr: one of each kind of examination, a few hundred kB each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from SlicerHPOLib.image import write_image
from SlicerHPOLib.job import Job

from ..simulation.body import sample_body
from ..simulation.contrast import draw_contrast
from ..simulation.mri import Volume, draw_artefacts, draw_warp, render_image
from ..simulation.protocols import AXIAL, CORONAL, SAGITTAL, Scan


@dataclass(frozen=True)
class Sample:
    """A sample volume: what it is aimed at ("canal" or a site) and shifted by, its box, resolution and sequence."""

    name: str
    seed: int
    site: str
    shift_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    plane: int
    family: str


SAMPLES = (
    Sample("whole-body-t1", 21, "liver", (-60, 0, -250), (480, 260, 1750), (5, 5, 6), CORONAL, "t1_gre"),
    Sample("torso-t2-coronal", 22, "liver", (-60, 0, 20), (400, 180, 420), (3, 6, 3), CORONAL, "t2_tse"),
    Sample("head-t2-axial", 23, "brain", (0, 0, -20), (210, 240, 150), (1.5, 1.5, 5), AXIAL, "t2_tse"),
    Sample("spine-t2-sagittal", 24, "canal", (0, 30, 0), (60, 220, 380), (4, 1.8, 1.8), SAGITTAL, "t2_tse"),
    Sample("pelvis-t2-axial", 25, "hip_left", (85, 0, 20), (360, 260, 200), (2.5, 2.5, 6), AXIAL, "t2_tse"),
    Sample("knee-pd-sagittal", 26, "knee_right", (0, 0, 0), (120, 160, 160), (3.5, 1.5, 1.5), SAGITTAL, "pd"),
)


def write_samples(out: str | Path, job: Job = Job()) -> list[Path]:
    """Write every sample as NIfTI to folder `out`; the same files, bit for bit, at every call."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for n, sample in enumerate(SAMPLES):
        job.progress(n / len(SAMPLES), sample.name)
        rng = np.random.default_rng(sample.seed)
        volume = sample_volume(sample, rng)
        image = render_image(volume, rng)
        paths.append(write_image(replace(image, name=sample.name), out / f"{sample.name}.nii.gz"))
    return paths


def sample_volume(sample: Sample, rng: np.random.Generator) -> Volume:
    """The volume of a sample: a body that has its site, its scan, little noise and nothing else that mars it."""
    while True:
        body = sample_body(rng)
        if sample.site == "canal":
            canal = body.landmarks.canal_mm
            site = canal[len(canal) // 3]
        elif sample.site in body.landmarks.sites_mm:
            site = body.landmarks.sites_mm[sample.site]
        else:
            continue
        break
    centre, extent, spacing = (np.array(v, float) for v in (sample.shift_mm, sample.extent_mm, sample.spacing_mm))
    centre += site
    thickness = spacing[sample.plane]
    scan = Scan(sample.name, centre, extent, spacing, sample.plane, thickness, spine=sample.site == "canal")
    quiet = dict(noise=0.012, coil=None, saturation=None, ghost=None, wrap=0.0, blur=0.0, box=None, gamma=1.0)
    artefacts = replace(draw_artefacts(rng, scan), masked=True, end_fall_off=0.0, **quiet)
    return Volume(body, scan, draw_warp(rng, centre), draw_contrast(rng, sample.family), artefacts)
