"""Intensity of each tissue in an MR sequence drawn at random: spin and gradient echo, inversion recovery, bSSFP, ...

The signal equations are the textbook ones (Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004). Their
parameters, and the tissues' relaxation times, are drawn from wide ranges: a network trained on the result sees real
sequences as one more variation (domain randomisation, Billot et al. 2023, SynthSeg).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tissues import LABEL, TISSUES

T1, T2, T2S, PD, FAT, TEXTURE = (
    np.array([getattr(t, name) for t in TISSUES]) for name in ("t1", "t2", "t2s", "pd", "fat", "texture")
)

# How much of a gadolinium contrast agent a tissue takes up, relative to blood.
UPTAKE = np.zeros(len(TISSUES))
for _name, _uptake in dict(
    blood=1.0, kidney_cortex=0.9, kidney_medulla=0.6, spleen=0.7, liver=0.5, heart=0.5, gland=0.6, uterus=0.6,
    pancreas=0.6, bowel_wall=0.5, prostate=0.4, organ=0.4, breast=0.3, skin=0.3, muscle=0.12, vertebra=0.15,
    marrow=0.05,
).items():  # fmt: skip
    UPTAKE[LABEL[_name]] = _uptake
FLUIDS = [LABEL[name] for name in ("csf", "bladder", "bile", "eye")]
SIGNAL_FREE = [LABEL[name] for name in ("air", "airway", "bowel_gas")]


@dataclass(frozen=True)
class Contrast:
    """Mean intensity (tissues,) in about [0, 1], its relative texture (tissues,), and the name of the sequence's
    family."""

    family: str
    mean: np.ndarray
    texture: np.ndarray


def spin_echo(t1, t2, pd, tr, te):
    """Spin echo; long echo trains are covered by the spread of TE."""
    return pd * (1 - np.exp(-tr / t1)) * np.exp(-te / t2)


def spoiled_gradient_echo(t1, t2s, pd, tr, te, flip):
    """Spoiled gradient echo in the steady state (Ernst), flip angle in radians."""
    e1 = np.exp(-tr / t1)
    return pd * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * np.exp(-te / t2s)


def inversion_recovery(t1, t2, pd, tr, te, ti):
    """Magnitude of an inversion-recovery spin echo: STIR, FLAIR, and the contrast of MP-RAGE."""
    return pd * np.abs(1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1)) * np.exp(-te / t2)


def balanced_steady_state(t1, t2, pd, flip):
    """Balanced steady-state free precession (TrueFISP) for TR much shorter than T2, flip angle in radians."""
    return pd * np.sin(flip) / ((t1 / t2 + 1) - np.cos(flip) * (t1 / t2 - 1))


# Share of each family among the simulated volumes.
FAMILIES = dict(t1_se=2, t2_tse=4, pd=1.5, t1_gre=4, mprage=1.5, t2s_gre=2, flair=0.7, stir=1.2, bssfp=2, random=3)


def draw_contrast(rng: np.random.Generator, family: str | None = None) -> Contrast:
    """Draw a sequence and compute what each tissue looks like in it.

    Args:
        family: a key of FAMILIES; None draws one.
    """
    if family is None:
        shares = np.array(list(FAMILIES.values()))
        family = str(rng.choice(list(FAMILIES), p=shares / shares.sum()))
    spread = lambda values, sigma: values * rng.lognormal(0, sigma, len(TISSUES))  # noqa: E731
    field = rng.uniform(0.9, 1.25)  # 1.5 T to 3 T lengthens T1
    t1, t2, t2s, pd = spread(T1 * field, 0.12), spread(T2, 0.15), spread(T2S, 0.2), spread(PD, 0.05)
    degrees = np.pi / 180

    gadolinium = family in ("t1_se", "t1_gre", "mprage") and rng.random() < 0.3
    if gadolinium:
        t1 = 1 / (1 / t1 + rng.uniform(0.3, 1.5) * 4e-3 * UPTAKE * rng.uniform(0.5, 1.2, len(TISSUES)))

    if family == "t1_se":
        signal = spin_echo(t1, t2, pd, rng.uniform(350, 800), rng.uniform(7, 20))
    elif family == "t2_tse":
        signal = spin_echo(t1, t2, pd, rng.uniform(2000, 7000), rng.uniform(60, 140))
        signal[FAT > 0.5] *= rng.uniform(1, 2)  # J-coupling: fat is bright in fast spin echo
    elif family == "pd":
        signal = spin_echo(t1, t2, pd, rng.uniform(1800, 5000), rng.uniform(10, 40))
    elif family == "t1_gre":
        signal = spoiled_gradient_echo(
            t1, t2s, pd, rng.uniform(3, 200), rng.uniform(1, 6), rng.uniform(8, 70) * degrees
        )
    elif family == "mprage":
        signal = inversion_recovery(t1, t2s * 3, pd, rng.uniform(1800, 2500), rng.uniform(2, 5), rng.uniform(800, 1100))
    elif family == "t2s_gre":
        signal = spoiled_gradient_echo(
            t1, t2s, pd, rng.uniform(200, 900), rng.uniform(8, 35), rng.uniform(10, 35) * degrees
        )
    elif family == "flair":
        signal = inversion_recovery(t1, t2, pd, rng.uniform(8000, 10000), rng.uniform(80, 140), rng.uniform(2200, 2600))
    elif family == "stir":
        signal = inversion_recovery(t1, t2, pd, rng.uniform(3000, 6000), rng.uniform(20, 90), rng.uniform(150, 210))
    elif family == "bssfp":
        signal = balanced_steady_state(t1, t2, pd, rng.uniform(30, 70) * degrees)
    else:
        signal = rng.uniform(0, 1, len(TISSUES))
        signal[FLUIDS] = signal[FLUIDS[0]] * rng.uniform(0.85, 1.15, len(FLUIDS))  # fluids look alike in any sequence

    signal = np.maximum(signal, 0) * rng.lognormal(0, rng.choice([0.03, 0.2]), len(TISSUES))
    if family not in ("stir", "random"):
        signal *= 1 - FAT * _fat_suppression(rng)
    blood = LABEL["blood"]
    if family in ("t1_se", "t2_tse", "pd", "flair", "stir") and rng.random() < 0.7:
        signal[blood] *= rng.uniform(0, 0.5)  # flow void
    elif family in ("t1_gre", "t2s_gre") and rng.random() < 0.6:
        signal[blood] *= rng.uniform(1, 2.5)  # inflow
    signal[SIGNAL_FREE] = 0
    if family == "random":
        signal[LABEL["lung"]] *= rng.choice([0.2, 1.0])
    bright = np.sort(signal)[-4]
    return Contrast(family, signal / max(bright, 1e-6), TEXTURE * rng.uniform(0.3, 1.8))


def _fat_suppression(rng: np.random.Generator) -> float:
    """Part of the fat's signal that is taken away: none, a fat-suppressed or Dixon water image, or an opposed-phase
    one."""
    kind = rng.random()
    if kind < 0.62:
        return 0.0
    return rng.uniform(0.75, 1.0) if kind < 0.92 else rng.uniform(0.3, 0.6)
