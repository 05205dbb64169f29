import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney.template import (
    Template,
    TemplateError,
    load_template,
    mean_template,
    save_template,
    signed_distance,
    template_of,
)

from .phantom import bean_mask, dice


def a_ball(radius_mm, spacing=(1.0, 1.0, 1.0), centre_mm=(0.3, -0.2, 0.4), shape=(40, 40, 40)):
    """A mask of a ball and its exact signed distance."""
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = -(np.array(shape[::-1]) - 1) / 2 * spacing
    image = Image(np.zeros(shape, np.uint8), matrix)
    points = image.ras_of(np.moveaxis(np.indices(shape)[::-1], 0, -1))
    true = radius_mm - np.linalg.norm(points - np.array(centre_mm), axis=-1)
    return Image((true > 0).astype(np.uint8), matrix), true


def a_bean(*place, **traits):
    return signed_distance(bean_mask(*place, **traits))


def extents_mm(template):
    """Extents (x, y, z) in mm of the template's inside."""
    inside = np.argwhere(template.phi > 0)[:, ::-1] * template.spacing_mm
    return np.ptp(inside, axis=0) + template.spacing_mm


@settings(max_examples=8, deadline=None)
@given(st.floats(8, 15), st.tuples(*[st.floats(-1, 1)] * 3))
def test_the_distance_of_a_ball_is_right_within_a_fraction_of_a_voxel(radius, centre):
    mask, true = a_ball(radius, centre_mm=centre)
    phi = signed_distance(mask).voxels
    error = np.abs(phi - true)
    assert phi.dtype == np.float32
    assert np.percentile(error[np.abs(true) < 3], 95) < 0.35 and error[np.abs(true) < 3].mean() < 0.13
    # A cap of a voxel's height is flat in any mask: half a voxel is lost there.
    assert error[np.abs(true) < 1].max() < 0.6 and error[true < -5].mean() < 0.13
    assert abs((phi - true)[np.abs(true) < 3].mean()) < 0.06  # neither larger nor smaller
    assert ((phi > 0) == (mask.voxels > 0)).all()


def test_the_distance_is_better_than_that_of_voxel_centres():
    mask, true = a_ball(12.0)
    near = np.abs(true) < 5
    inside = mask.voxels > 0
    plain = np.where(inside, distance_transform_edt(inside) - 0.5, 0.5 - distance_transform_edt(~inside))
    error = np.abs(signed_distance(mask).voxels - true)[near].mean()
    assert error < np.abs(plain - true)[near].mean() / 2


def test_the_distance_is_in_mm_for_voxels_of_any_shape():
    mask, true = a_ball(14.0, spacing=(1.0, 1.5, 2.0))
    error = np.abs(signed_distance(mask).voxels - true)[np.abs(true) < 6]
    assert error.max() < 0.9 and error.mean() < 0.2  # of voxels 2 mm thick


@pytest.mark.parametrize(("value", "word"), [(0, "empty"), (1, "full")])
def test_a_mask_without_a_surface_is_refused(value, word):
    with pytest.raises(TemplateError, match=word):
        signed_distance(Image(np.full((5, 5, 5), value, np.uint8), np.eye(4)))


@pytest.mark.parametrize("rotation", [(0, 0, 0), (0.4, -0.3, 0.5), (1.4, 0.3, 2.5)])
def test_a_template_is_in_its_own_frame_however_the_mask_lies(rotation):
    template = template_of(a_bean(rotation, (8, -5, 6)))
    reference = template_of(a_bean())
    expected = reference.phi if (Rotation.from_rotvec(rotation).as_matrix() @ [0, 0, 1])[2] > 0 else reference.phi[::-1]
    assert dice(template.phi > 0, expected > 0) > 0.96
    length = extents_mm(template)
    assert length[2] == pytest.approx(102, abs=6) and length[2] > length[0] > length[1]


def test_x_leads_away_from_the_hilum():
    template = template_of(a_bean((0.2, 0.1, 2.0)))
    inside = template.phi[28] > 0  # the middle plane: the notch is at -x
    x = (np.arange(56) - 27.5) * 3
    row = inside[28]
    assert x[row].max() > 20 and x[row].min() > -20


def test_a_mask_in_a_left_handed_volume_gives_the_same_template():
    mask = bean_mask((0.4, -0.3, 0.5))
    matrix = mask.ijk_to_ras.copy()
    matrix[:, 3] += matrix[:, 0] * (mask.shape[2] - 1)
    matrix[:, 0] *= -1
    twin = Image(mask.voxels[:, :, ::-1], matrix)
    difference = np.abs(template_of(signed_distance(twin)).phi - template_of(signed_distance(mask)).phi)
    assert difference.mean() < 0.03 and difference.max() < 1.25  # mm: one of two equally near voxels is taken


def test_the_mean_of_one_shape_in_many_places_is_that_shape():
    rng = np.random.default_rng(0)
    beans = [a_bean(rng.normal(0, 0.5, 3), rng.normal(0, 6, 3), scale) for scale in (0.8, 0.9, 1.0, 1.1)]
    template = mean_template(beans, modes=2)
    alone = template_of(a_bean(scale=(0.8 * 0.9 * 1.0 * 1.1) ** 0.25))
    assert dice(template.phi > 0, alone.phi > 0) > 0.96
    assert np.abs(template.modes[:, np.abs(template.phi) < 10]).mean() < 0.8  # mm: hardly any variation is left


def test_modes_recover_the_one_trait_that_varies():
    bends = np.linspace(0.0, 0.6, 7)
    beans = [a_bean((0.1 * k, 0, 0.1), (3, -2, k), bend=b, notch=0.0) for k, b in enumerate(bends)]
    template = mean_template(beans, modes=3)
    assert template.explained[0] > 0.6 and (np.diff(template.explained) <= 0).all()
    straight, bent = template_of(beans[0]).phi, template_of(beans[-1]).phi
    volume = (template.phi > 0).sum()
    for phi in (straight, bent):
        best = max(
            dice(template.shape([c]) > 0, other > 0)
            for c in np.linspace(-2.5, 2.5, 21)
            for other in (phi, phi[:, :, ::-1])
        )
        assert best > dice(template.phi > 0, phi > 0) and best > 0.95
    assert (template.shape([2.0]) > 0).sum() == pytest.approx(volume, rel=0.15)  # size is not a mode


def test_the_mean_is_a_symmetric_distance():
    template = mean_template([a_bean((0.3, 0, 0)), a_bean((0, 0.2, 0), bend=0.2)], modes=1)
    assert dice(template.phi > 0, template.phi[:, ::-1] > 0) > 0.999
    slope = np.linalg.norm(np.gradient(template.phi, 3.0), axis=0)
    assert np.median(slope[np.abs(template.phi) < 12]) == pytest.approx(1, abs=0.02)
    assert template.phi.min() < -60  # unsaturated


def test_a_template_is_read_as_it_was_written(tmp_path):
    template = mean_template([a_bean(bend=b) for b in (0.1, 0.3, 0.5)], modes=2)
    path = save_template(template, tmp_path / "kidney.safetensors")
    again = load_template(path)
    np.testing.assert_array_equal(again.phi, template.phi)
    np.testing.assert_allclose(again.modes, template.modes, atol=0.02)
    np.testing.assert_array_equal(again.explained, template.explained)
    assert again.spacing_mm == 3.0 and list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_template_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(TemplateError, match="cannot be read"):
        load_template(path)
    path.write_bytes(b"not a template at all")
    with pytest.raises(TemplateError, match="is not a template"):
        load_template(path)
    with pytest.raises(TemplateError, match=r"\.safetensors"):
        save_template(template_of(a_bean()), tmp_path / "x.npz")


def test_wrong_templates_are_refused():
    phi = np.linspace(-1, 1, 27).reshape(3, 3, 3)
    with pytest.raises(TemplateError, match=r"modes \(M, d, h, w\)"):
        Template(phi, np.zeros((1, 2, 3, 3)), np.ones(1), 1.0)
    with pytest.raises(TemplateError, match="positive"):
        Template(phi, np.zeros((0, 3, 3, 3)), np.ones(0), 0.0)
    with pytest.raises(TemplateError, match="inside"):
        Template(-np.ones((3, 3, 3)), np.zeros((0, 3, 3, 3)), np.ones(0), 1.0)
    with pytest.raises(TemplateError, match="At most 0 coefficients"):
        Template(phi, np.zeros((0, 3, 3, 3)), np.ones(0), 1.0).shape([1.0])
    with pytest.raises(TemplateError, match="at least 2 shapes"):
        mean_template([a_bean()])
    with pytest.raises(TemplateError, match="does not fit"):
        template_of(a_bean(), size=20)


def test_modes_add_standard_deviations():
    phi = np.linspace(-1, 1, 27).reshape(3, 3, 3)
    modes = np.stack([np.ones((3, 3, 3)), 2 * np.ones((3, 3, 3))])
    template = Template(phi, modes, np.array([0.7, 0.3]), 1.0)
    np.testing.assert_allclose(template.shape([0.5, -1.0]), phi + 0.5 - 2, rtol=1e-6)
    assert len(template.with_modes(1).modes) == len(template.with_modes(1).explained) == 1
