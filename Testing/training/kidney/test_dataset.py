import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney.grid import fitted_grid

from training.kidney import dataset
from training.kidney.dataset import EMPTY, describe, is_child, load, phi_on_grid, simulate

SMALL = {"volumes": 4, "size": 32, "spacings_mm": (10.0,), "seed": 3, "workers": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("kidney") / "data", **SMALL, empty_share=0.3)


def test_a_data_set_shows_kidneys_on_the_working_grid_and_sometimes_none(data):
    volumes = load(data)
    assert volumes.images.shape == volumes.distances.shape == (4, 32, 32, 32)
    assert (volumes.spacing_mm == 10).all()
    for n, population in enumerate(volumes.population):
        assert (volumes.distances[n] > 0).any() == (population != EMPTY)
        assert volumes.distances[n].max() < 127 and volumes.images[n].max() > 100
    assert "without a kidney" in describe(volumes)


def test_volume_n_depends_on_seed_and_n_alone(data):
    drawn = dataset.draw_volume(SMALL["seed"], 1, 32, (10.0,), None, 0.3)
    kept = load(data)
    np.testing.assert_array_equal(drawn.images[0], kept.images[1])
    np.testing.assert_array_equal(drawn.distances[0], kept.distances[1])


def test_a_data_set_of_other_settings_is_not_mixed_in(data):
    before = json.loads((data / "dataset.json").read_text())
    with pytest.raises(ValueError, match="made with"):
        simulate(data, **(SMALL | {"seed": 4}))
    assert json.loads((data / "dataset.json").read_text()) == before
    with pytest.raises(ValueError, match="simulate kidney"):
        load(data.parent)


@given(st.integers(1, 200), st.integers(0, 100))
def test_the_share_of_adults_is_exact(count, percent):
    children = sum(is_child(n, percent / 100) for n in range(count))
    assert abs(children - count * (1 - percent / 100)) < 1


def test_a_distance_follows_the_image_to_a_turned_and_mirrored_grid():
    # A left-handed image in (P, S, L) order; the distance is that to a plane in space.
    matrix = np.array([[0, 0, -2.0, 9], [-3.0, 0, 0, 5], [0, 2.5, 0, -7], [0, 0, 0, 1]])
    shape = (12, 14, 16)
    image = Image(np.ones(shape, np.float32), matrix)
    normal = np.array([0.6, 0.0, 0.8])
    nodes = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)[..., ::-1]
    phi = (image.ras_of(nodes) @ normal).astype(np.float32)
    grid = fitted_grid(image, (2.0, 4.0), 20)
    assert grid.spacing_mm == pytest.approx(4.0)  # 48 mm do not fit into 40
    found = phi_on_grid(image, phi, grid)
    at = grid.ras_of(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    ijk = image.ijk_of(at)
    inside = ((ijk >= 0) & (ijk <= np.array(shape[::-1]) - 1)).all(-1)
    np.testing.assert_allclose(found[inside], (at @ normal)[inside], atol=1e-4)


def test_pooled_volumes_show_the_same_subjects_on_larger_voxels(data):
    volumes = load(data)
    coarse = dataset.pooled(volumes, 2)
    assert coarse.images.shape == (4, 16, 16, 16) and (coarse.spacing_mm == 20).all()
    block = volumes.images[1, 4:6, 6:8, 10:12]
    assert coarse.images[1, 2, 3, 5] == pytest.approx(block.mean(), abs=0.51)
    block = volumes.distances[1, 4:6, 6:8, 10:12]
    assert coarse.distances[1, 2, 3, 5] == pytest.approx(block.mean() / 2, abs=0.51)  # in larger voxels
    with pytest.raises(ValueError, match="cannot be pooled by 3"):
        dataset.pooled(volumes, 3)
