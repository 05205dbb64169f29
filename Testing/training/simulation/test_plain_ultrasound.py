import numpy as np
import pytest

from training.simulation.kidney_shape import draw_traits, shape_of
from training.simulation.plain_ultrasound import DEPTHS_MM, SPACINGS_MM, plain_ultrasound


def test_a_seed_gives_the_same_volume_again():
    one, two, other = (plain_ultrasound(seed, "child") for seed in (3, 3, 4))
    np.testing.assert_array_equal(one[0].voxels, two[0].voxels)
    np.testing.assert_array_equal(one[1], two[1])
    assert one[0].shape != other[0].shape or (one[0].voxels != other[0].voxels).any()


@pytest.mark.parametrize("population", ["adult", "child"])
def test_the_kidney_has_the_volume_of_its_shape_and_lies_about_the_middle(population):
    for seed in range(4):
        image, phi = plain_ultrasound(seed, population)
        spacing = image.spacing_mm[0]
        assert phi.shape == image.shape and SPACINGS_MM[0] <= spacing <= SPACINGS_MM[1]
        assert DEPTHS_MM[population][0] - spacing <= spacing * image.shape[0] <= DEPTHS_MM[population][1] + 2 * spacing
        traits = draw_traits(np.random.default_rng([seed, 41]), population)
        shape = shape_of(traits)
        inside = phi > 0
        assert inside.sum() * spacing**3 / 1000 <= 1.05 * shape.volume_ml  # part of it may lie outside
        middle = image.ras_of(np.argwhere(inside).mean(0)[::-1]) - image.center_mm
        assert (np.abs(middle) < 0.25 * np.array(image.shape[::-1]) * spacing).all()


def test_without_a_kidney_its_place_looks_like_the_rest():
    def difference(kidney):
        out = []
        for seed in range(6):
            image, phi = plain_ultrasound(seed, "adult", kidney=kidney)
            near = (phi > 4) & (image.voxels > 0)
            around = (phi < -8) & (phi > -30) & (image.voxels > 0)
            out.append(abs(float(image.voxels[near].mean()) - float(image.voxels[around].mean())))
        return np.mean(out)

    assert difference(True) > 1.5 * difference(False)


def test_a_field_of_view_is_a_pyramid_or_a_box():
    shown = [float((plain_ultrasound(seed, "child")[0].voxels > 0).mean()) for seed in range(12)]
    assert any(part == 1 for part in shown) and any(0.2 < part < 0.9 for part in shown)
