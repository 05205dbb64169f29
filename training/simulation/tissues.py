"""The tissues every simulated anatomy is made of, with their relaxation times.

An anatomy (procedural or a label map) says which tissue is at a point; `mri.py` turns tissues into intensities. A
tissue's index is its label: 0 is air.

Relaxation times are in ms, typical of 1.5 T; the proton density is relative to water. They are starting points for
wide domain randomisation, not measurements. Sources: Stanisz et al. 2005 (MRM 54:507), de Bazelaire et al. 2004
(Radiology 230:652), Bojorquez et al. 2017 (MRI 35:69); values without a source there are set by analogy.
"""

from __future__ import annotations

from typing import NamedTuple


class Tissue(NamedTuple):
    """One tissue: T1, T2 and T2* in ms, proton density relative to water, fraction of fat, texture (relative std)."""

    name: str
    t1: float
    t2: float
    t2s: float
    pd: float
    fat: float = 0.0
    texture: float = 0.05


TISSUES = (
    Tissue("air", 1000, 1, 0.3, 0.0, 0.0, 0.0),
    Tissue("skin", 900, 30, 15, 0.6, 0.1),
    Tissue("fat", 290, 110, 40, 0.95, 1.0, 0.06),
    Tissue("muscle", 1000, 42, 28, 0.80, 0.03, 0.06),
    Tissue("cortical_bone", 400, 2, 0.5, 0.15),
    Tissue("marrow", 400, 80, 20, 0.85, 0.75, 0.08),
    Tissue("vertebra", 650, 65, 15, 0.75, 0.4, 0.10),
    Tissue("disc", 1000, 85, 45, 0.80, 0.0, 0.12),
    Tissue("cartilage", 1050, 40, 22, 0.75),
    Tissue("brain", 900, 85, 55, 0.78, 0.0, 0.05),
    Tissue("grey_matter", 1100, 95, 60, 0.82, 0.0, 0.04),
    Tissue("white_matter", 700, 75, 50, 0.70, 0.0, 0.03),
    Tissue("csf", 3500, 1200, 500, 1.0, 0.0, 0.04),
    Tissue("spinal_cord", 850, 75, 45, 0.72, 0.0, 0.04),
    Tissue("eye", 3000, 800, 300, 0.98, 0.0, 0.02),
    Tissue("gland", 900, 60, 35, 0.85, 0.05, 0.10),
    Tissue("lung", 1100, 40, 2, 0.18, 0.0, 0.20),
    Tissue("airway", 1000, 1, 0.3, 0.01, 0.0, 0.0),
    Tissue("heart", 1000, 45, 32, 0.82, 0.02, 0.06),
    Tissue("blood", 1450, 200, 100, 0.92, 0.0, 0.10),
    Tissue("liver", 580, 46, 24, 0.80, 0.05, 0.05),
    Tissue("spleen", 1050, 75, 45, 0.84, 0.0, 0.04),
    Tissue("pancreas", 580, 50, 30, 0.80, 0.15, 0.12),
    Tissue("kidney_cortex", 970, 87, 50, 0.86, 0.0, 0.04),
    Tissue("kidney_medulla", 1400, 90, 55, 0.90, 0.0, 0.05),
    Tissue("bile", 2500, 600, 200, 0.97, 0.0, 0.03),
    Tissue("bowel_wall", 900, 55, 30, 0.80, 0.05, 0.10),
    Tissue("bowel_content", 1400, 150, 50, 0.85, 0.1, 0.35),
    Tissue("bowel_gas", 1000, 1, 0.3, 0.0, 0.0, 0.0),
    Tissue("bladder", 3200, 900, 300, 1.0, 0.0, 0.03),
    Tissue("prostate", 1300, 90, 50, 0.88, 0.0, 0.15),
    Tissue("uterus", 1200, 85, 50, 0.88, 0.0, 0.12),
    Tissue("breast", 1100, 70, 40, 0.85, 0.25, 0.25),
    Tissue("organ", 900, 60, 35, 0.82, 0.05, 0.10),
)
LABEL = {tissue.name: label for label, tissue in enumerate(TISSUES)}
