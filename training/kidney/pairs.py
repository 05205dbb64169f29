"""Real volumes with outlines to learn from: `images/NAME.EXT` and `masks/NAME.EXT` in one folder.

A mask is a volume of the same voxels in which the kidney is not 0. On the working grid they are what simulated subjects
are (see `dataset`), so a hospital's few children can be learned from as those.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage
from SlicerHPOLib.image import Image, ImageError, find_images
from SlicerHPOLib.kidney.grid import SIZE, SPACINGS_MM, fitted_grid, orientations, to_grid

from ..simulation.randomisation import POPULATIONS
from .dataset import STEPS, Volumes, joined, phi_on_grid
from .dataset import load as load_simulated

IMAGES, MASKS = "images", "masks"
CLOSE_MM = 0.1  # how far a voxel of the mask may lie from that of the image


def is_pairs(folder: str | Path) -> bool:
    """Whether a folder holds images and masks."""
    return (Path(folder) / IMAGES).is_dir() and (Path(folder) / MASKS).is_dir()


def load(*folders: str | Path) -> Volumes:
    """All volumes of folders, of which each is a simulated data set, or has images and masks. Raises ValueError if one
    has none, and as `load_pairs`."""
    for folder in folders:
        if not is_pairs(folder) and not any(Path(folder).glob("shard-*.npz")):
            raise ValueError(
                f"{folder} holds nothing to learn from: neither a data set of `python -m training simulate kidney` nor "
                f"volumes in {IMAGES}/ with masks of the same names in {MASKS}/."
            )
    parts = [load_pairs(folder) if is_pairs(folder) else load_simulated(folder) for folder in folders]
    return parts[0] if len(parts) == 1 else joined(parts)


def load_pairs(folder: str | Path, population: str = "child") -> Volumes:
    """All volumes of a folder, each with its mask.

    Raises:
        ValueError: there are none, an image has no mask or a mask no image, or their voxels are not the same.
        ImageError: a file cannot be read.
    """
    images, masks = (
        {_name(path): path for path in sorted((Path(folder) / part).iterdir())} for part in (IMAGES, MASKS)
    )
    if not images:
        raise ValueError(f"{Path(folder) / IMAGES} is empty: expected a volume for each mask in {MASKS}.")
    if alone := sorted(images.keys() ^ masks.keys()):
        there = [MASKS if name in images else IMAGES for name in alone]
        listed = ", ".join(f"{name} (not in {part})" for name, part in zip(alone[:5], there, strict=False))
        raise ValueError(f"{folder}: each volume in {IMAGES} needs a mask of its name in {MASKS}; alone are {listed}.")
    parts = [on_grid(_read(images[name]), _read(masks[name]), name, population) for name in images]
    return joined(parts)


def on_grid(image: Image, mask: Image, name: str, population: str) -> Volumes:
    """One volume on the grid as users' volumes. Raises ValueError where the mask's voxels are not the image's."""
    corners = np.array([(0, 0, 0), [n - 1 for n in image.shape[::-1]]])
    same = image.shape == mask.shape and np.allclose(image.ras_of(corners), mask.ras_of(corners), atol=CLOSE_MM)
    if not same:
        raise ValueError(
            f"{name}: the mask has {' x '.join(map(str, mask.shape[::-1]))} voxels of {_mm(mask)} mm, the image "
            f"{' x '.join(map(str, image.shape[::-1]))} of {_mm(image)} mm, or they lie elsewhere. Resample the mask "
            "to the image's voxels."
        )
    inside = mask.voxels != 0
    spacing = image.spacing_mm[::-1]
    phi_mm = ndimage.distance_transform_edt(inside, spacing) - ndimage.distance_transform_edt(~inside, spacing)
    grid = fitted_grid(image, SPACINGS_MM, SIZE)
    volume, grid = orientations(to_grid(image, grid), grid)[0]
    voxels = phi_on_grid(image, phi_mm, grid) / grid.spacing_mm[0]
    return Volumes(
        np.rint(volume * 255).astype(np.uint8)[None],
        np.clip(np.rint(voxels * STEPS), -127, 127).astype(np.int8)[None],
        np.array([POPULATIONS.index(population)], np.uint8),
        np.array([grid.spacing_mm[0]], np.float32),
    )


def _read(path: Path) -> Image:
    """The one volume of a file or DICOM folder."""
    sources = find_images(path)
    if len(sources) != 1:
        raise ImageError(f"{path} holds {len(sources)} volumes; expected one.")
    return sources[0].read()


def _name(path: Path) -> str:
    """What image and mask have in common: the file's name up to its first dot."""
    return path.name.partition(".")[0]


def _mm(image: Image) -> str:
    return " x ".join(f"{value:.2f}" for value in image.spacing_mm)
