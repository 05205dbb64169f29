"""Simulated ultrasound: the statistics of speckle, what attenuation does, the geometry of the sector, and its truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from SlicerHPOLib.image import Image

from training.simulation.acoustics import TISSUE, Acoustics
from training.simulation.kidney_interior import draw_interior
from training.simulation.kidney_scene import Scene, draw_body
from training.simulation.kidney_shape import draw_traits, shape_of
from training.simulation.probe import clear_part, place_probe
from training.simulation.randomisation import draw
from training.simulation.sector import BEAMS, MARGIN, RANGES, Sector
from training.simulation.ultrasound import NO_KIDNEY_MM, Beam, compress, echoes, render, simulate_ultrasound

SECTOR = Sector(depth_mm=144.0, radius_mm=50.0, swing_mm=40.0, opening_deg=70.0, swing_deg=60.0)
LIVER = np.full((RANGES, BEAMS, BEAMS), TISSUE["liver"])


def plain_beam(**changes) -> Beam:
    beam = draw(Beam, np.random.default_rng(0), "adult", frequency_mhz=3.5, cycles=2.5, aperture_mm=20.0, focus=0.5)
    quiet = dict(side_lobe_db=-200, reverberation_db=-200, noise_db=-200, tgc_slope=1.0, tgc_ripple_db=0.0, edge_db=0.0)
    return replace(beam, **(quiet | changes))


def plain_tissues(**changes) -> Acoustics:
    even = dict(liver=0.0, mottle_db=0.0, attenuation=1.0, specular_db=-200.0)
    return replace(draw(Acoustics, np.random.default_rng(0), "adult"), **(even | changes))


def envelope(labels, *, acoustics=None, beam=None, seed=0):
    return np.abs(
        echoes(labels, SECTOR, acoustics or plain_tissues(), beam or plain_beam(), np.random.default_rng(seed))
    )


def mean_db(part) -> float:
    return 10 * np.log10(np.mean(np.square(part)))


@pytest.fixture(scope="module")
def speckle():
    return envelope(LIVER)


def test_fully_developed_speckle_is_rayleigh(speckle):
    core = speckle[40:-40]
    core = core / np.sqrt(np.square(core).mean((1, 2), keepdims=True))  # the gain varies along the beam
    assert core.mean() / core.std() == pytest.approx(1.91, abs=0.1)
    below = (core < np.sqrt(np.log(2))).mean()  # the median of a Rayleigh envelope of power 1
    assert below == pytest.approx(0.5, abs=0.02)


def test_speckle_keeps_its_power_and_the_gain_makes_up_for_average_tissue(speckle):
    levels = np.array([mean_db(part) for part in np.array_split(speckle[10:-10], 4)])
    assert np.abs(levels).max() < 8  # the liver attenuates a little less than the average
    assert (np.diff(levels) > 0).all()


def grain_mm(field, axis_steps_mm: float, axis: int) -> float:
    """Width at half maximum of the autocovariance of the intensity along an axis."""
    intensity = np.moveaxis(np.square(field), axis, -1)
    intensity = intensity - intensity.mean()
    lags = np.array([(intensity[..., lag:] * intensity[..., : intensity.shape[-1] - lag]).mean() for lag in range(14)])
    lags /= lags[0]
    first = np.flatnonzero(lags < 0.5)[0]
    return 2 * axis_steps_mm * (first - 1 + (lags[first - 1] - 0.5) / (lags[first - 1] - lags[first]))


def test_grain_is_fine_along_the_beam_and_widens_away_from_the_focus(speckle):
    arcs = SECTOR.arcs_mm()[0]
    near, focus, far = (slice(10, 40), slice(130, 160), slice(250, 280))
    widths = [grain_mm(speckle[part], arcs[part].mean(), 1) for part in (near, focus, far)]
    assert widths[1] < widths[0] and widths[1] < widths[2]
    assert grain_mm(speckle[focus], SECTOR.step_mm, 0) < widths[1]
    stated, _ = plain_beam().widths_mm(SECTOR.ranges_mm, SECTOR.depth_mm)
    assert widths[2] == pytest.approx(stated[250:280].mean(), rel=0.25)


def test_sound_is_finer_at_a_higher_frequency():
    for one, other in zip(
        plain_beam(frequency_mhz=2.0).widths_mm(SECTOR.ranges_mm, 144.0),
        plain_beam(frequency_mhz=4.0).widths_mm(SECTOR.ranges_mm, 144.0),
        strict=True,
    ):
        assert other.min() == pytest.approx(one.min() / 2, rel=0.05)
    assert plain_beam(frequency_mhz=2.0).pulse_mm == 2 * plain_beam(frequency_mhz=4.0).pulse_mm


def test_a_rib_throws_a_shadow_along_its_beams_only(speckle):
    labels = LIVER.copy()
    labels[30:45, 40:56, :] = TISSUE["bone"]
    shaded = envelope(labels)
    assert mean_db(shaded[100:, 44:52]) < mean_db(speckle[100:, 44:52]) - 30
    assert mean_db(shaded[100:, :30]) == pytest.approx(mean_db(speckle[100:, :30]), abs=0.5)
    assert mean_db(shaded[:25, 44:52]) == pytest.approx(mean_db(speckle[:25, 44:52]), abs=0.5)
    step = [mean_db(shaded[30 + n : 33 + n, 46:50]) for n in (0, 5, 10, 30)]
    assert step[0] > step[1] > step[2] > step[3] - 1


def test_fluid_is_dark_and_what_lies_behind_it_bright(speckle):
    labels = LIVER.copy()
    labels[80:160, 36:60, 36:60] = TISSUE["fluid"]
    shown = envelope(labels)
    core = np.s_[42:54, 42:54]
    assert mean_db(shown[100:140][(slice(None), *core)]) < mean_db(speckle[100:140][(slice(None), *core)]) - 20
    gained = mean_db(shown[180:][(slice(None), *core)]) - mean_db(speckle[180:][(slice(None), *core)])
    assert gained == pytest.approx(2 * (0.5 - 0.01) * 3.5 * 4.0, abs=1.5)  # dB/(cm MHz), both ways, 3.5 MHz, 4 cm


def test_an_interface_met_at_right_angles_is_bright_and_fades_as_it_turns_away():
    theta = np.arange(BEAMS)[:, None]
    depth, tilted = np.arange(RANGES)[:, None, None], plain_tissues(specular_db=20.0, roughness=4.0)
    peaks = []
    for slope in (0.0, 1.0, 2.0):
        wall = 140 + slope * (theta - BEAMS / 2)
        labels = np.where(np.abs(depth - wall) < 2, TISSUE["fascia"], TISSUE["gel"])
        labels = np.broadcast_to(labels, (RANGES, BEAMS, BEAMS))
        peaks.append(envelope(labels, acoustics=tilted)[130:150, 46:50, 48].max())
    assert peaks[0] > 1.5 * peaks[1] > 1.5 * peaks[2]


def test_interfaces_come_back_as_reverberations():
    labels = np.where(np.arange(RANGES)[:, None, None] < 20, TISSUE["gel"], TISSUE["fascia"])
    labels = np.broadcast_to(labels, (RANGES, BEAMS, BEAMS))
    tissues = plain_tissues(specular_db=30.0, fascia=-80.0, attenuation=0.0)
    shown = envelope(labels, acoustics=tissues, beam=plain_beam(reverberation_db=-12, bounce_mm=20.0, tgc_slope=0.0))
    profile = shown.mean((1, 2))
    for echo in (20, 60, 100):
        assert np.argmax(profile[echo - 10 : echo + 10]) + echo - 10 == pytest.approx(echo, abs=2)
    assert profile[18:23].max() > 3 * profile[58:63].max() > 9 * profile[98:103].max()


def test_noise_grows_with_depth_where_nothing_echoes():
    shown = envelope(
        np.full_like(LIVER, TISSUE["gel"]), acoustics=plain_tissues(gel=-150.0), beam=plain_beam(noise_db=-10.0)
    )
    assert mean_db(shown[-40:]) > mean_db(shown[20:60]) + 20
    assert mean_db(shown[-10:]) == pytest.approx(-10, abs=1)


def test_compression_is_logarithmic_between_black_and_white():
    beam = plain_beam(dynamic_range_db=60.0, grey=0.5, gamma=1.0)
    db = np.array([-100.0, -15.0, 0.0, 15.0, 100.0])
    np.testing.assert_allclose(compress(10 ** (db / 20), beam), [0, 0.25, 0.5, 0.75, 1], atol=1e-6)


sectors = st.builds(
    Sector,
    depth_mm=st.floats(60, 220),
    radius_mm=st.sampled_from([0.0, 15.0, 60.0]),
    swing_mm=st.sampled_from([0.0, 20.0, 50.0]),
    opening_deg=st.floats(50, 95),
    swing_deg=st.floats(40, 90),
)


@settings(max_examples=30, deadline=None)
@given(sector=sectors, r=st.floats(1, 59), theta=st.floats(-0.45, 0.45), phi=st.floats(-0.35, 0.35))
def test_beams_and_points_are_each_others_inverse_and_within_the_box(sector, r, theta, phi):
    assume(sector.swing_mm >= sector.sag_mm)
    point = sector.points_of(np.array([r]), np.array([theta]), np.array([phi]))
    np.testing.assert_allclose(np.ravel(sector.beams_of(*point)), [r, theta, phi], atol=1e-6)
    if sector.contains(*point).all():
        assert (np.ravel(point) >= sector.box_mm[0] - 1e-6).all()
        assert (np.ravel(point) <= sector.box_mm[1] + 1e-6).all()


def test_scan_conversion_is_interpolation_in_the_beams_coordinates():
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random((RANGES, BEAMS, BEAMS)), 6).astype(np.float32)
    smooth = (smooth - smooth.min()) / np.ptp(smooth) + 0.5
    x, y, z = np.arange(-40, 41, 5.0), np.arange(-30, 31, 5.0), np.arange(20, 130, 5.0)
    voxels = SECTOR.scan_convert(smooth, x, y, z, 0.5)
    grid = np.meshgrid(z, y, x, indexing="ij")
    r, theta, phi = SECTOR.beams_of(grid[2], grid[1], grid[0])
    angles = SECTOR.angles
    index = [
        r / SECTOR.step_mm - 0.5,
        (theta - angles[0][0]) / np.diff(angles[0])[0],
        (phi - angles[1][0]) / np.diff(angles[1])[0],
    ]
    seen = SECTOR.contains(grid[2], grid[1], grid[0])
    expected = np.where(seen, ndimage.map_coordinates(smooth, index, order=1), 0)
    assert (voxels[~seen] == 0).all() and seen.mean() > 0.3
    np.testing.assert_allclose(voxels, expected, atol=0.01)


def test_coarse_voxels_are_the_area_average_of_fine_ones():
    grey = np.random.default_rng(0).random((RANGES, BEAMS, BEAMS), dtype=np.float32)
    coarse = SECTOR.scan_convert(grey, *[np.array([c]) for c in (10.0, -5.0, 70.0)], 4.0)
    fine = [c + np.arange(4) - 1.5 for c in (10.0, -5.0, 70.0)]
    assert coarse.item() == pytest.approx(SECTOR.scan_convert(grey, *fine, 1.0).mean(), rel=0.01)


def test_the_margin_of_beams_is_not_shown():
    theta, phi = SECTOR.angles
    assert np.rad2deg(theta[-1 - MARGIN]) == pytest.approx(SECTOR.opening_deg / 2)
    assert np.rad2deg(phi[MARGIN]) == pytest.approx(-SECTOR.swing_deg / 2)


@pytest.fixture(scope="module")
def subjects():
    return [simulate_ultrasound(seed) for seed in range(3)]


def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(subjects):
    again = simulate_ultrasound(2)
    np.testing.assert_array_equal(again.image.voxels, subjects[2].image.voxels)
    np.testing.assert_array_equal(again.phi_mm, subjects[2].phi_mm)
    assert (subjects[0].image.voxels != subjects[1].image.voxels).any()


def test_a_volume_is_as_asked_for_and_black_outside_its_sector(subjects):
    for subject in subjects:
        assert subject.image.shape == subject.phi_mm.shape == (80, 80, 80)
        np.testing.assert_allclose(subject.image.spacing_mm, 4.0)
        assert subject.image.voxels.dtype == np.uint8
        sector = subject.parameters.sector
        axes = [(np.arange(80) - 39.5) * 4 + middle for middle in sector.box_mm.mean(0)]
        z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
        beyond = ~ndimage.binary_dilation(sector.contains(x, y, z), iterations=2)
        assert (subject.image.voxels[beyond] == 0).all()
        assert (subject.image.voxels[sector.contains(x, y, z)] > 0).mean() > 0.3


def test_the_truth_has_the_volume_and_the_slope_of_a_distance(subjects):
    for subject in subjects:
        shape = shape_of(subject.parameters.traits)
        assert subject.mask.sum() * 0.064 == pytest.approx(shape.volume_ml, rel=0.06)
        assert subject.phi_mm.max() == pytest.approx(shape.phi_mm.max(), abs=2.5)
        slope = np.sqrt(sum(np.square(g) for g in np.gradient(subject.phi_mm, 4.0)))
        far = (subject.phi_mm < -12) & (subject.phi_mm > -120)
        assert np.quantile(np.abs(slope[far] - 1), 0.98) < 0.1
        assert subject.population == subject.parameters.traits.population
        assert subject.visible > 0.5


def test_a_box_of_fine_voxels_holds_the_sector_and_its_truth_is_a_distance_too():
    subject = simulate_ultrasound(3, "child", spacing_mm=1.0, size=None, age_years=1.0)
    box = np.ptp(subject.parameters.sector.box_mm, axis=0)
    np.testing.assert_array_equal(subject.image.shape[::-1], np.ceil(box))
    slope = np.sqrt(sum(np.square(g) for g in np.gradient(subject.phi_mm)))
    assert np.quantile(np.abs(slope[np.abs(subject.phi_mm) > 3] - 1), 0.9) < 0.1
    shape = shape_of(subject.parameters.traits)
    if subject.visible == 1:
        assert subject.mask.sum() / 1000 == pytest.approx(shape.volume_ml, rel=0.02)


def test_the_truth_lies_where_the_picture_shows_the_kidney():
    """Drained of everything but urine and tissue, a hydronephrotic kidney is dark inside its outline."""
    for seed in range(2):
        subject = simulate_ultrasound(seed, "child", hydronephrosis=4, spacing_mm=3.0, size=50)
        middle = subject.phi_mm > 0.55 * subject.phi_mm.max()
        rim = (subject.phi_mm > 0) & (subject.phi_mm < 0.2 * subject.phi_mm.max())
        lit = subject.image.voxels > 0
        assert np.median(subject.image.voxels[middle & lit]) < 0.75 * np.median(subject.image.voxels[rim & lit])


def test_a_finer_grid_shows_the_same_subject():
    coarse, fine = (simulate_ultrasound(1, spacing_mm=s, size=n) for s, n in ((8.0, 40), (4.0, 80)))
    averaged = fine.image.voxels.reshape(40, 2, 40, 2, 40, 2).mean((1, 3, 5))
    lit = (averaged > 5) & (coarse.image.voxels > 5)
    assert np.corrcoef(averaged[lit], coarse.image.voxels[lit])[0, 1] > 0.97
    same = fine.phi_mm.reshape(40, 2, 40, 2, 40, 2).mean((1, 3, 5)) > 0
    assert 2 * (same & coarse.mask).sum() / (same.sum() + coarse.mask.sum()) > 0.93
    assert np.abs(fine.image.ras_of([39.5] * 3) - coarse.image.ras_of([19.5] * 3)).max() < 1e-6


def test_headers_are_right_handed_and_tracked_ones_put_the_kidney_on_its_side_of_the_body():
    tracked = {False: 0, True: 0}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        shape = shape_of(draw_traits(rng, "child"))
        scene = Scene(shape, draw_interior(rng, shape), draw_body(rng, shape))
        probe, sector = place_probe(rng, scene)
        axis = np.arange(-20.0, 21.0, 2.0)
        matrix = probe.ijk_to_ras(scene, axis, axis, axis + 30)
        assert np.linalg.det(matrix[:3, :3]) == pytest.approx(8)
        assert clear_part(scene, probe, sector) > 0.5
        tracked[probe.tracked] += 1
        if probe.tracked:
            x, y, z = (probe.to_probe(np.zeros((1, 3)))[0] - (-20, -20, 10)) / 2
            kidney = matrix @ [x, y, z, 1]
            assert (kidney[0] > 20) == (shape.traits.side == "right") and abs(kidney[0]) > 20 and kidney[1] < 0
    assert min(tracked.values()) > 0


def test_shapes_of_masks_are_imaged_at_the_length_and_side_drawn():
    shape = shape_of(draw_traits(np.random.default_rng(9), "adult", side="left"))
    mask = Image((shape.phi_mm > 0).astype(np.uint8), shape.as_image().ijk_to_ras, "case_L")
    subject = simulate_ultrasound(4, "child", masks=[mask], age_years=5.0)
    assert subject.side == "left" and subject.age_years == 5
    assert subject.mask.sum() * 0.064 < 0.7 * shape.volume_ml


@pytest.mark.parametrize("population", ["adult", "child"])
def test_without_a_kidney_there_is_nothing_of_one(population):
    rng = np.random.default_rng(2)
    shape = shape_of(draw_traits(rng, population))
    interior, body = draw_interior(rng, shape), draw_body(rng, shape)
    x, y, z = shape.inside_mm[::7].T.astype(np.float32)
    own = {TISSUE[name] for name in ("capsule", "cortex", "medulla", "sinus")}
    with_one, _ = Scene(shape, interior, body).tissues_at(x, y, z)
    without, _ = Scene(shape, interior, body, kidney=False).tissues_at(x, y, z)
    assert own & set(with_one) and not own & set(without)
    empty = simulate_ultrasound(5, population, spacing_mm=8.0, size=40, kidney=False)
    assert (empty.phi_mm == NO_KIDNEY_MM).all() and empty.visible == 0 and empty.image.voxels.max() > 100


def test_populations_are_told_apart_and_unknown_ones_refused():
    assert simulate_ultrasound(0, "child", spacing_mm=8.0, size=20, age_years=2.0).age_years == 2
    with pytest.raises(ValueError, match="adult, child"):
        simulate_ultrasound(0, "infant")
    with pytest.raises(ValueError, match=r"0\.5 to 15"):
        simulate_ultrasound(0, "child", age_years=40.0)


def test_grey_levels_are_neither_black_nor_white_in_a_liver():
    grey = render(LIVER, SECTOR, plain_tissues(), plain_beam(grey=0.45), np.random.default_rng(0))
    assert 0.3 < np.median(grey) < 0.65
    assert ((grey == 0) | (grey == 1)).mean() < 0.02
