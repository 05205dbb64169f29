"""Correction points: honoured in every case, a diffeomorphism, a pure function of the set, and refusals by message."""

from functools import cache
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney import corrections
from SlicerHPOLib.kidney.corrections import CorrectionError, Corrector, History, Points, correct, honoured, pieces
from SlicerHPOLib.kidney.flow import LIPSCHITZ, Kernel, Prior
from SlicerHPOLib.kidney.grid import Grid, to_native, working_grid
from SlicerHPOLib.kidney.modes import Modes
from SlicerHPOLib.kidney.spline import Spline, interpolated

from training.kidney.clicks import (
    bean,
    cubic_grid,
    dice_by_clicks,
    radial_basis_correction,
    random_points,
    stress,
)

GRID = cubic_grid(44, 4.0)


def nodes_of(grid):
    return grid.ras_of(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))


def ball(grid, radius_mm=30.0, centre=(0, 0, 0)):
    return (radius_mm - np.linalg.norm(nodes_of(grid) - centre, axis=-1)).astype(np.float32)


@cache
def corrector(seed):
    return Corrector(bean(np.random.default_rng(seed), nodes_of(GRID), pose=0.5), GRID)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1))
def test_every_point_of_a_random_set_is_honoured_and_the_shape_stays_in_one_piece(seed):
    shape = corrector(seed % 8)
    points = random_points(np.random.default_rng(seed), shape.phi, GRID)
    result = shape(points)
    signs = np.where(points.inside, 1, -1)
    at_points = ndi.map_coordinates(result.phi, GRID.voxel_of(points.ras_mm).T, order=3, mode="mirror")
    at_voxels = result.phi[tuple(np.rint(GRID.voxel_of(points.ras_mm)).astype(int).T)]
    assert (signs * at_points > 0).all() and (signs * at_voxels > 0).all()
    assert result.honoured.tolist() == [True] * len(points)
    assert result.min_jacobian > 0
    assert ndi.label(result.phi > 0)[1] == 1


def test_points_are_honoured_in_their_voxels_of_an_oblique_anisotropic_image_at_its_own_resolution():
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-1.5, 1.2, 2.5])
    matrix[:3, 3] = 20, -60, -70
    image = Image(np.zeros((60, 110, 90), np.uint8), matrix)
    grid = working_grid(image, size=50)
    phi = ball(grid, 28, image.center_mm)
    rng = np.random.default_rng(3)
    for _ in range(4):
        points = Points()
        for offset in rng.normal(0, 22, (8, 3)).clip(-50, 50):
            points = (points.add_inside if rng.random() < 0.5 else points.add_outside)(image.center_mm + offset)
        result = correct(phi, grid, points, image)
        native = to_native(result.phi, grid, image).voxels
        k, j, i = np.rint(image.ijk_of(points.ras_mm)).astype(int).T[::-1]
        assert ((native[k, j, i] > 0) == points.inside).all()


def test_the_result_depends_on_the_set_of_points_only():
    rng = np.random.default_rng(0)
    points = random_points(rng, corrector(1).phi, GRID, most=4)
    while len(points) < 4:
        points = random_points(rng, corrector(1).phi, GRID, most=4)
    results = [corrector(1)(Points(order)) for order in permutations(points.points)]
    twice = corrector(1)(Points((*points.points, points.points[0])))
    assert len({result.phi.tobytes() for result in [*results, twice]}) == 1


def test_removing_undo_and_redo_give_the_earlier_results_to_the_last_bit():
    shape = Corrector(ball(GRID), GRID)
    history = History()
    for change in [
        lambda p: p.add_inside((40, 0, 0)),
        lambda p: p.add_outside((0, 0, 20)),
        lambda p: p.move(1, (0, 41, 0)),
        lambda p: p.remove(1),
    ]:
        history = history.change(change(history.now))
    results = {}
    step = history
    for _ in range(5):
        results[step.now] = shape(step.now).phi
        step = step.undo()
    assert step == step.undo() and step.now == Points()
    for _ in range(5):
        np.testing.assert_array_equal(shape(step.now).phi, results[step.now])
        step = step.redo()
    assert step == history
    np.testing.assert_array_equal(shape(Points().add_outside((0, 0, 20))).phi, results[history.now])


def test_no_points_change_nothing_and_a_point_already_right_neither():
    phi = ball(GRID)
    for points in (Points(), Points().add_inside((0, 0, 0)).add_outside((60, 0, 0))):
        result = correct(phi, GRID, points)
        np.testing.assert_array_equal(result.phi, phi)
        assert (result.norm, result.min_jacobian, result.warning) == (0.0, 1.0, None)


@pytest.mark.parametrize("others", [Points(), Points().add_outside((20, 0, 0)).add_inside((-50, -20, 4))])
@pytest.mark.parametrize("cut", [(-np.inf, np.inf), (-12, 6), (-2, 2)])
def test_points_where_the_gradient_vanishes_are_honoured_and_no_more_implausible_than_others(cut, others):
    grid = cubic_grid(45, 4.0)  # a node, and the voxel's centre with it, at the very middle of the ball
    shape = Corrector(np.clip(ball(grid), *cut), grid)
    result = shape(others.add_outside((0, 0, 0)))
    assert result.honoured.all() and pieces(result.phi) == 1 and result.min_jacobian > 0
    assert 1 < result.norm < 10


def test_where_all_flows_wander_the_shortest_is_taken(monkeypatch):
    shape, points = corrector(3), random_points(np.random.default_rng(5), corrector(3).phi, GRID)
    usual = shape(points)
    monkeypatch.setattr(corrections, "FARTHEST", 0.5 * usual.norm)
    shortest = shape(points)
    assert shortest.norm <= usual.norm and shortest.honoured.all()
    finest = Corrector(shape.phi, GRID)
    finest.kernels = finest.kernels[1:]  # it was chosen from these, too
    assert shortest.norm <= finest(points).norm


def test_the_corrected_surface_passes_next_to_a_single_point_and_not_far_beyond():
    result = correct(ball(GRID), GRID, Points().add_inside((38, 0, 0)))
    value = interpolated(result.phi, GRID.voxel_of(np.array([[38.0, 0, 0]])))[0]
    assert 1.0 <= value < 2.5


def test_the_result_depends_on_the_spacing_of_the_grid_by_less_than_a_fifth_of_it():
    points = Points().add_inside((38, 5, 0)).add_outside((0, -22, 6))
    image = Image(np.zeros((150, 150, 150), np.uint8), cubic_grid(150, 1.0).ijk_to_ras)
    probes, values, norms = np.random.default_rng(0).normal(0, 20, (2000, 3)), [], []
    spacings = (4.0, 2.5, 2.0)
    for size, spacing in zip((40, 64, 80), spacings, strict=True):
        grid = cubic_grid(size, spacing)
        phi = ball(grid) - 0.3 * nodes_of(grid)[..., 0].clip(-40, 40)  # not round
        result = correct(phi, grid, points, image)
        values.append(interpolated(result.phi, grid.voxel_of(probes)))
        norms.append(result.norm)
    near = np.abs(values[-1]) < 4
    assert near.sum() > 200
    for spacing, coarser in zip(spacings, values[:-1], strict=False):
        assert np.abs(coarser - values[-1])[near].max() < spacing / 5
    assert norms[:-1] == pytest.approx([norms[-1]] * 2, rel=0.03)


def test_a_turned_patient_gives_the_turned_result():
    points = Points().add_inside((36, 8, 0)).add_outside((0, 24, 6))
    turned_points = Points().add_inside((-8, 36, 0)).add_outside((-24, 0, 6))
    turn = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    turned = Grid(turn @ GRID.ijk_to_ras, GRID.shape)
    phi = ball(GRID)
    np.testing.assert_allclose(correct(phi, turned, turned_points).phi, correct(phi, GRID, points).phi, atol=1e-3)


# The flow


def random_step(rng, modes=None):
    kernel = Kernel(Prior(), np.array([3.0, -2, 5]), np.linalg.qr(rng.normal(size=(3, 3)))[0], modes)
    x, g = rng.normal(0, 25, (6, 3)), rng.normal(size=(6, 3))
    return kernel, x, g, kernel.least_step(x, g, rng.uniform(0.01, 0.1, 6))


def level_set_modes(grid):
    x = nodes_of(grid)
    return np.stack([3 * np.cos(x[..., 2] / 25), 2 * np.sin(x[..., 0] / 30)]).astype(np.float32)


@pytest.mark.parametrize("with_modes", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_does_what_it_should_at_its_sites_with_the_norm_of_its_gram_matrix(seed, with_modes):
    modes = Modes(level_set_modes(GRID), ball(GRID), GRID) if with_modes else None
    rng = np.random.default_rng(seed)
    kernel, x, g, step = random_step(rng, modes)
    assert step.lipschitz < LIPSCHITZ  # not capped: the constraints hold
    w = kernel.displacement(step, x.T).T
    again = np.einsum("na,na->n", g, w)
    assert again.min() > 0.0099
    active = np.isin(x, step.sites).all(axis=1)
    multipliers = np.linalg.norm(step.forces, axis=1) / np.linalg.norm(g[active], axis=1)
    assert step.norm**2 == pytest.approx(multipliers @ again[active], rel=1e-4)  # mu A mu = <v, v>


@pytest.mark.parametrize("with_modes", [False, True])
def test_the_jacobian_is_that_of_finite_differences_and_within_the_lipschitz_bound(with_modes):
    modes = Modes(level_set_modes(GRID), ball(GRID), GRID) if with_modes else None
    for seed in range(5):
        rng = np.random.default_rng(seed)
        kernel, x, g, _ = random_step(rng, modes)
        step = kernel.least_step(x, g, rng.uniform(1, 20, 6))
        places, h = rng.normal(0, 20, (3, 200)), 1e-5
        _, determinant = kernel.displacement_and_jacobian(step, places)
        columns = [
            (kernel.displacement(step, places + h * e[:, None]) - kernel.displacement(step, places - h * e[:, None]))
            / (2 * h)
            for e in np.eye(3)
        ]
        dw = np.stack(columns, 1)  # (3 of w, 3 of x, n)
        expected = np.linalg.det(np.moveaxis(dw, 2, 0) + np.eye(3))
        np.testing.assert_allclose(determinant, expected, atol=2e-3 if with_modes else 1e-6)
        assert np.linalg.norm(np.moveaxis(dw, 2, 0), 2, axis=(1, 2)).max() <= step.lipschitz + 1e-9 <= 0.5 + 2e-9


def test_modes_move_the_surface_as_their_level_sets_do():
    phi, psi = ball(GRID), level_set_modes(GRID)[:1]
    modes = Modes(psi, phi, GRID)
    spline = Spline(phi, GRID)
    surface = np.random.default_rng(0).normal(size=(3, 100))
    surface *= 30 / np.linalg.norm(surface, axis=0)
    moved = spline(surface + 0.1 * modes.at(surface)[0])
    expected = 0.1 * interpolated(psi[0], GRID.voxel_of(surface.T))
    assert np.corrcoef(moved, expected)[0, 1] > 0.98
    assert np.abs(moved - expected).max() < 0.08


def test_a_change_along_a_mode_of_the_template_is_less_implausible_than_without_it():
    points = Points().add_inside((0, 0, 36)).add_inside((0, 0, -36))
    psi = (6 * (nodes_of(GRID)[..., 2] / 30) ** 2).clip(0, 12).astype(np.float32)[None]
    plain, informed = correct(ball(GRID), GRID, points), correct(ball(GRID), GRID, points, modes=psi)
    assert informed.honoured.all()
    assert informed.norm < 0.9 * plain.norm


def test_splines_agree_with_one_another_and_with_the_gradient():
    phi = bean(np.random.default_rng(5), nodes_of(GRID)).astype(np.float32)
    spline, x = Spline(phi, GRID), np.random.default_rng(1).uniform(-60, 60, (30, 3))
    value, gradient = spline.value_and_gradient(x)
    np.testing.assert_allclose(spline(x.T), value, atol=1e-3)
    np.testing.assert_allclose(interpolated(phi, GRID.voxel_of(x)), value, atol=1e-3)
    for axis, e in enumerate(np.eye(3)):
        slope = (spline.value_and_gradient(x + 1e-4 * e)[0] - spline.value_and_gradient(x - 1e-4 * e)[0]) / 2e-4
        np.testing.assert_allclose(gradient[:, axis], slope, atol=1e-4)
    outside = np.array([[200.0, 0, 0]])
    edge = np.array([[GRID.ras_of(np.array([43.0, 43, 43]))[0], 0, 0]])
    assert spline(outside.T)[0] == pytest.approx(spline(edge.T)[0] - (outside - edge)[0, 0], abs=1e-3)


# Warnings and refusals


def test_implausible_points_are_honoured_with_a_warning_and_plausible_ones_without():
    plausible = correct(ball(GRID), GRID, Points().add_inside((36, 0, 0)))
    implausible = correct(ball(GRID), GRID, Points().add_outside((0, 0, 0)).add_inside((70, 0, 0)))
    assert plausible.warning is None
    assert "standard deviations" in implausible.warning
    assert implausible.norm > 2 * plausible.norm
    assert honoured(implausible.phi, GRID, Points().add_outside((0, 0, 0)).add_inside((70, 0, 0))).all()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (Points().add_inside((0, 0, 0)).add_inside((500, 0, 0)), r"Outside the working grid lies point 2 "),
        (Points().add_inside((9, 9, 9)).add_outside((9.5, 9, 9)), r"point 1 \(inside .* point 2 \(outside .* same"),
        (Points().add_outside((9, 9, 9)).add_inside((9, 9, 9)), "cannot be both"),
    ],
)
def test_impossible_points_are_refused_by_name(points, message):
    with pytest.raises(CorrectionError, match=message):
        correct(ball(GRID), GRID, points)


def test_a_point_outside_the_image_is_refused_even_where_the_grid_reaches_it():
    image = Image(np.zeros((20, 20, 20)), np.diag([2.0, 2, 2, 1]))
    grid = working_grid(image, size=40)
    with pytest.raises(CorrectionError, match="Outside the volume lies point 1"):
        correct(ball(grid, 12, image.center_mm), grid, Points().add_inside((-5, 20, 20)), image)


def test_points_that_alternate_more_finely_than_the_grid_are_refused_naming_a_pair_of_opposites():
    image = Image(np.zeros((160, 160, 160), np.uint8), cubic_grid(160, 0.5).ijk_to_ras)
    rng, points = np.random.default_rng(0), Points()
    for n, offset in enumerate(rng.permutation(np.argwhere(np.ones((3, 3, 3)))) - 1):
        points = (points.add_inside if n % 2 else points.add_outside)((30, 0, 0) + offset)
    with pytest.raises(CorrectionError, match=r"point \d+ \((in|out)side.* and point \d+ .*mm apart.* grid of 4.0 mm"):
        correct(ball(GRID), GRID, points, image)


@pytest.mark.parametrize("ras", [(np.nan, 0, 0), (0, np.inf, 0), (0, 0), "abc", None])
def test_a_point_that_is_no_place_is_refused(ras):
    with pytest.raises(CorrectionError, match="A point"):
        Points().add_inside(ras)


@pytest.mark.parametrize("number", [0, 2, -1])
def test_a_point_that_does_not_exist_cannot_be_moved_or_removed(number):
    points = Points().add_inside((0, 0, 0))
    with pytest.raises(CorrectionError, match="counted from 1"):
        points.remove(number)
    with pytest.raises(CorrectionError, match="There is no point"):
        points.move(number, (1, 1, 1))


@pytest.mark.parametrize(
    ("phi", "message"),
    [
        (ball(GRID)[1:], r"shape \(43, 44, 44\)"),
        (np.where(ball(GRID) > 25, np.nan, ball(GRID)), "not finite"),
        (ball(GRID) - 100, "has an inside"),
        (ball(GRID) + 400, "outside"),
        (np.maximum(ball(GRID, 12, (40, 0, 0)), ball(GRID, 12, (-40, 0, 0))), "2 pieces"),
    ],
)
def test_what_is_no_shape_is_refused(phi, message):
    with pytest.raises(CorrectionError, match=message):
        Corrector(phi, GRID)


# Against the classical correction


def test_stress_counts_what_came_of_random_sets():
    result = stress(20, seed=1)
    assert (result.count, result.refused, result.dishonoured, result.torn) == (20, 0, 0, 0)
    assert result.min_jacobian > 0 and 0 < result.median_ms <= result.p95_ms


def test_flows_need_fewer_clicks_than_one_shot_radial_basis_functions():
    grid = cubic_grid(32, 5.0)
    nodes, flow, radial = nodes_of(grid), [], []
    for seed in range(6):
        truth = bean(np.random.default_rng(seed), nodes, 0.5) > 0
        phi = bean(np.random.default_rng(100 + seed), nodes, 0.5).astype(np.float32)
        shape = Corrector(phi, grid)
        flow.append(dice_by_clicks(lambda p, shape=shape: shape(p).phi, phi, truth, grid, 6, seed))
        radial.append(
            dice_by_clicks(lambda p, phi=phi: radial_basis_correction(phi, grid, p), phi, truth, grid, 6, seed)
        )
    assert np.mean(flow, axis=0)[4:].mean() > np.mean(radial, axis=0)[4:].mean() + 0.01
    assert pieces(shape.phi) == 1
