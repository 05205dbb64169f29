import numpy as np
import pytest
import SimpleITK

from training.kidney.dataset import STEPS
from training.kidney.pairs import is_pairs, load

SIZE, SPACING = (24, 30, 36), (2.0, 1.5, 1.0)  # i, j, k


def written(path, voxels, spacing=SPACING, origin=(0.0, 0.0, 0.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    SimpleITK.WriteImage(image, str(path))


def cone(size=SIZE):
    """A volume (k, j, i) whose field of view widens along k, and a ball in it."""
    k, j, i = np.indices(size[::-1]).astype(float)
    seen = np.hypot((i - size[0] / 2) / size[0], (j - size[1] / 2) / size[1]) < 0.1 + 0.4 * k / size[2]
    away = np.sqrt(((i - 12) * SPACING[0]) ** 2 + ((j - 15) * SPACING[1]) ** 2 + ((k - 22) * SPACING[2]) ** 2)
    inside = away < 8
    return np.where(seen, 40 + 60 * inside, 0).astype(np.uint8), inside.astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    image, mask = cone()
    for n, extension in enumerate((".nrrd", ".nii.gz")):
        written(tmp_path / "images" / f"case{n}{extension}", image)
        written(tmp_path / "masks" / f"case{n}.nrrd", mask)
    return tmp_path


def test_images_and_masks_become_what_simulated_subjects_are(folder):
    assert is_pairs(folder) and not is_pairs(folder / "images")
    volumes = load(folder)
    assert len(volumes) == 2 and (volumes.population == 1).all()
    inside = (volumes.distances > 0).sum((1, 2, 3)) * volumes.spacing_mm**3
    np.testing.assert_allclose(inside, 4 / 3 * np.pi * 8**3, rtol=0.08)
    assert np.abs(volumes.distances.max((1, 2, 3)) / STEPS * volumes.spacing_mm - 8).max() < 1.5
    bright = volumes.images[0][volumes.distances[0] > STEPS]
    assert bright.min() > volumes.images[0][(volumes.distances[0] < -STEPS) & (volumes.images[0] > 0)].max()


def test_what_does_not_belong_together_is_named(folder):
    _, mask = cone()
    written(folder / "masks" / "case1.nrrd", mask[:-1])
    with pytest.raises(ValueError, match="case1: the mask has 24 x 30 x 35 voxels"):
        load(folder)
    written(folder / "masks" / "case1.nrrd", mask, origin=(5.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="they lie elsewhere"):
        load(folder)
    written(folder / "masks" / "case1.nrrd", 0 * mask)
    with pytest.raises(ValueError, match=r"masks/case1.nrrd: constant volume"):
        load(folder)
    (folder / "masks" / "case1.nrrd").unlink()
    with pytest.raises(ValueError, match=r"case1 \(not in masks\)"):
        load(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to learn from"):
        load(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="is empty"):
        load(tmp_path)
