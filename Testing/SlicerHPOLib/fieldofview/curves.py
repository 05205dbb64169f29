"""Probabilities along a body, made up for the tests of the region decision."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

LEGS, PELVIS, ABDOMEN, CHEST, HEAD, SPINE = range(6)
BOUNDARIES = ["legs/pelvis", "pelvis/abdomen", "abdomen/chest", "chest/head"]
EXACT = {"sigma_mm": 0.0, "min_length_mm": 0.0}
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def one_hot(labels):
    return np.eye(6)[np.asarray(labels)]


def body_curves(s, centres, width=60.0):
    """Probabilities (N, 6) of regions around `centres`, inferior to superior; adjacent ones cross half-way."""
    logits = np.column_stack([-(((s[:, None] - centres) / width) ** 2), np.full(len(s), -30.0)])
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def slice_lengths(positions):
    if len(positions) == 1:
        return np.ones(1)
    gaps = [positions[1] - positions[0], *np.diff(positions), positions[-1] - positions[-2]]
    return np.array([(gaps[i] + gaps[i + 1]) / 2 for i in range(len(positions))])
