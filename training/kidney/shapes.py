"""Kidney shapes without images: the project's own parametric kidneys, and the shipped template made from them.

The template is the mean of these shapes with its modes of variation. No segmentation of a person is in it, so it may
be given away with the model.
"""

from __future__ import annotations

import numpy as np
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney.template import Template, mean_template

from ..parallel import single_threaded_pool
from ..simulation.kidney_shape import draw_traits, shape_of
from ..simulation.randomisation import POPULATIONS
from ..simulation.ultrasound import CHILD_SHARE

TEMPLATE_SEED = 2019


def kidney_shapes(count: int, seed: int, workers: int = 1) -> list[Image]:
    """Signed distances (mm, positive inside; RAS, the long axis along S) of `count` kidneys of the parametric family.

    Adults and children are mixed as in the simulated ultrasound (40 % children), and so are sides, ages and grades of
    hydronephrosis. Shape n depends on the seed and n alone: for any number of workers, and in a longer list too.

    Args:
        workers: processes; 1 draws the shapes in this one.
    """
    seeds = np.random.SeedSequence(seed).spawn(count)
    if workers == 1:
        return [draw_shape(one) for one in seeds]
    with single_threaded_pool(workers) as pool:
        return list(pool.map(draw_shape, seeds, chunksize=4))


def draw_shape(seed: np.random.SeedSequence) -> Image:
    """One kidney of the family."""
    rng = np.random.default_rng(seed)
    population = POPULATIONS[int(rng.random() < CHILD_SHARE)]
    return shape_of(draw_traits(rng, population)).as_image()


def shipped_template(count: int = 60, modes: int = 8, seed: int = TEMPLATE_SEED, workers: int = 1) -> Template:
    """The template of the deployed model: mean and modes of `count` parametric kidneys."""
    return mean_template(kidney_shapes(count, seed, workers), modes)
