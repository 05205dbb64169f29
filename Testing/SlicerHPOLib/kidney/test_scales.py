import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from SlicerHPOLib.kidney import scales
from SlicerHPOLib.kidney.deformation import Deformation, DeformationNetwork, DeformationParameters
from SlicerHPOLib.kidney.grid import Grid
from SlicerHPOLib.kidney.scales import (
    CLOSEST,
    DOUBT,
    LIKELY,
    SIZES,
    WHOLE,
    View,
    around,
    both_ways,
    elsewhere,
    found_at_scales,
    found_best,
    map_at_scales,
    mean_map,
    middle_and_size,
    scores_of,
    seen_in,
)
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.transforms import centre_of, points_of
from SlicerHPOLib.kidney.unet import UNetParameters

SIZE = 20


def ball(view, centre=(0.0, 0.0, 0.0), radius=5.0):
    """In a view; lengths (x, y, z) in voxels of the working grid."""
    points = points_of((SIZE,) * 3, view.ratio, torch.zeros(1)) - torch.tensor(centre_of((SIZE,) * 3, view.ratio))
    away = points + torch.tensor(view.offset[::-1]) * SIZE / 2 - torch.tensor(centre)
    return torch.sigmoid(radius - away.norm(dim=-1))[:, None]


centres = st.tuples(*[st.floats(-2, 2)] * 3)
offsets = st.tuples(*[st.floats(-0.1, 0.1)] * 3)


@settings(max_examples=25, deadline=None)
@given(centres, st.lists(st.tuples(st.floats(0.9, 1.2), offsets), min_size=1, max_size=4))
def test_maps_of_one_thing_in_any_view_have_it_as_their_mean(centre, somewhere):
    views = [View(ratio, offset) for ratio, offset in somewhere]
    mean = mean_map([ball(view, centre) for view in views], views)
    assert (mean - ball(View(1.0), centre)).abs().max() < 0.08


def test_the_map_of_the_working_grid_stays_as_it_is():
    maps = torch.rand(1, 1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean_map([maps], [View(1.0)]), maps, atol=1e-5, rtol=0)


def test_a_finer_grid_says_nothing_of_what_it_does_not_see():
    coarse, fine = torch.full((1, 1, SIZE, SIZE, SIZE), 0.25), torch.full((1, 1, SIZE, SIZE, SIZE), 0.75)
    mean = mean_map([coarse, fine], [View(1.0), View(0.5)])[0, 0]
    assert mean[10, 10, 10] == pytest.approx(0.5) and mean[1, 10, 10] == pytest.approx(0.25)
    assert mean_map([fine], [View(0.5)])[0, 0, 1, 10, 10] == 0


@settings(max_examples=25, deadline=None)
@given(centres, st.floats(4, 6))
def test_middle_and_size_are_those_of_a_ball(centre, radius):
    middle, size = middle_and_size(ball(View(1.0), centre, radius))
    np.testing.assert_allclose(np.array(middle)[::-1] * SIZE / 2, centre, atol=0.2)
    assert size * SIZE / 2 == pytest.approx(radius / np.sqrt(5), rel=0.12)
    assert np.isfinite(middle_and_size(torch.zeros(1, 1, SIZE, SIZE, SIZE))[1])


def test_a_volume_turned_half_round_about_the_beam_has_the_same_map_turned():
    """By a network that sees more of what lies to one side, and nothing of the far half."""
    volume = torch.rand(1, 1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    aside = torch.linspace(-2, 2, SIZE) + torch.linspace(0, 3, SIZE)[:, None]

    def map_of(volumes):
        return (volumes + aside) * (torch.arange(SIZE) < SIZE // 2)[:, None, None]

    map_ = both_ways(map_of, volume)
    torch.testing.assert_close(both_ways(map_of, volume.flip(3, 4)), map_.flip(3, 4))
    own, turned = torch.sigmoid(map_of(volume)), torch.sigmoid(map_of(volume.flip(3, 4)).flip(3, 4))
    torch.testing.assert_close(torch.sigmoid(map_), (own + turned) / 2, atol=1e-4, rtol=0)
    assert not torch.allclose(own, turned, atol=0.1)


def test_the_kidney_found_is_looked_at_again_where_it_has_the_wanted_size():
    """By a network that calls bright voxels kidney, of a bright ball off the middle."""
    centre, looked = (3.0, -2.0, 1.0), []

    def map_of(view):
        looked.append(view)
        return torch.logit(ball(view, centre).clamp(1e-3, 1 - 1e-3))

    scores = map_at_scales(map_of, sizes=(0.2, 5.0))
    whole, closer, closest = looked
    assert whole == View(WHOLE)
    again, size = middle_and_size(ball(closer, centre))
    np.testing.assert_allclose(again, 0, atol=0.02)
    assert size == pytest.approx(0.2, abs=0.02) and closest.ratio == CLOSEST
    assert (torch.sigmoid(scores) - ball(View(1.0), centre)).abs().max() < 0.1


def test_grids_are_zoomed_about_a_point():
    matrix = np.array([[0.0, -2, 0, 5], [2, 0, 0, -7], [0, 0, 2, 9], [0, 0, 0, 1]])
    grid = Grid(matrix, (8, 10, 12))
    zoomed = grid.zoomed(0.5)
    middle = (np.array(grid.shape) - 1) / 2
    np.testing.assert_allclose(zoomed.ras_of(middle), grid.ras_of(middle))
    aside = grid.zoomed(0.5, (0.5, 0, -1))
    np.testing.assert_allclose(aside.ras_of(middle), grid.ras_of(middle + np.array(grid.shape) / 2 * (0.5, 0, -1)))
    np.testing.assert_allclose(zoomed.spacing_mm, 1.0)
    assert zoomed.shape == grid.shape


def test_the_second_look_goes_on_from_the_mean_of_the_maps_and_the_middle_of_what_was_expected():
    """A network that calls bright voxels kidney, and expects much of the volume in which most are bright."""
    given, asked = {}, []

    class Network:
        judge = None

        def map_of(self, volume):
            return 20 * (volume - 0.5)

        def expect(self, volume, dense):
            torch.testing.assert_close(dense, self.map_of(volume), atol=0.5, rtol=0)
            return dense, 10 * (volume.mean((1, 2, 3, 4)) - 0.5)

        def __call__(self, volume, dense):
            given.update(volume=volume, dense=dense)
            still = torch.zeros(1, 3, 4, 4, 4)
            return Deformation(volume, torch.zeros(1, 9), torch.zeros(1, 0), still, still, 8.0, dense, torch.ones(1))

    def volume_of(view):
        asked.append(view)
        return torch.full((1, 1, SIZE, SIZE, SIZE), {WHOLE: 0.9, 1.0: 0.7}.get(view.ratio, 0.2))

    answer = found_at_scales(Network(), volume_of, 4.0)
    assert len(asked) == 2 + len(SIZES) and given["volume"].mean() == pytest.approx(0.7)
    assert float(answer.quality) == pytest.approx(-3.0, abs=1e-4)  # of three views; 4 of one, and 1 of the end
    inside = torch.sigmoid(given["dense"])[0, 0, 10, 10, 10]
    assert inside == pytest.approx(1 / 4, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(centres, st.floats(-6, 6), st.booleans())
def test_elsewhere_nothing_is_left_where_it_is_taken_and_some_place_is_likely(centre, level, whole):
    """Of a map with two balls, of which one is taken, or all is."""
    balls = [ball(View(1.0), somewhere, 3.0)[0, 0] for somewhere in (centre, np.array(centre) + 6)]
    scores = torch.logit((0.9 * torch.maximum(*balls)).clamp(1e-3))[None, None] + level
    taken = torch.ones_like(scores) if whole else (balls[0] > 0.3).float()[None, None]
    rest = elsewhere(scores, taken)
    if not whole:
        assert rest[taken > 0].max() <= rest[taken == 0].min() + 1e-3
        shift = (rest - scores_of(torch.sigmoid(scores)))[taken == 0]
        assert shift.min() >= 0 and shift.max() - shift.min() < 1e-4
    assert rest.max() >= LIKELY - 1e-4 and torch.isfinite(rest).all()


def ball_found(centre, quality):
    still = torch.zeros(1, 3, 4, 4, 4)
    phi = 8 * (ball(View(1.0), centre, 3.0) - 0.5)
    return Deformation(phi, torch.zeros(1, 9), torch.zeros(1, 0), still, still, quality=torch.tensor([quality]))


@pytest.mark.parametrize(("first", "second", "looks"), [(2.0, 5.0, 1), (-2.0, 1.0, 2), (-1.0, -3.0, 2)])
def test_what_is_doubtful_is_compared_with_what_is_found_elsewhere(monkeypatch, first, second, looks):
    left, right, asked = ball_found((-5, 0, 0), first), ball_found((5, 0, 0), second), []

    def found_at_scales(*given):
        asked.append(given[3] if len(given) > 3 else None)
        return right if len(asked) > 1 else left

    monkeypatch.setattr(scales, "found_at_scales", found_at_scales)
    assert found_best(None, ball, 4.0) is (left if first > DOUBT or first > second else right)
    assert len(asked) == looks and asked[0] is None
    assert looks == 1 or torch.equal(asked[1], around(left))


def test_nothing_elsewhere_is_no_better(monkeypatch):
    """Neither where there is no inside, nor where it lies in what is not seen of the volume."""
    first, second = ball_found((0, 0, 0), -3.0), ball_found((5, 0, 0), 3.0)
    monkeypatch.setattr(scales, "found_at_scales", lambda *given: second if len(given) > 3 else first)
    assert found_best(None, ball, 4.0) is second
    assert found_best(None, lambda view: ball(view) * (ball(view, (5, 0, 0), 5.0) < 0.1), 4.0) is first
    second.phi.fill_(-1.0)
    assert found_best(None, ball, 4.0) is first


def test_around_what_was_found_is_left_out():
    still = torch.zeros(1, 3, 4, 4, 4)
    phi = 4.0 * (ball(View(1.0)) - 0.5)
    taken = around(Deformation(phi, torch.zeros(1, 9), torch.zeros(1, 0), still, still))
    assert (taken[phi > 0] == 1).all() and (phi > 0).sum() < taken.sum() < 4 * (phi > 0).sum()


def test_a_view_of_a_volume_shows_what_lies_there():
    centre = (2.0, 1.0, -1.0)
    for view in (View(1.0), View(0.6, (0.1, -0.2, 0.05)), View(1.2)):
        assert (seen_in(view, ball(View(1.0), centre)) - ball(view, centre)).abs().max() < 0.1
    assert seen_in(View(0.5), ball(View(1.0)), 7).shape == (1, 1, 7, 7, 7)


def test_a_network_goes_on_from_the_map_that_it_is_given():
    look = UNetParameters(base=2, levels=2, strided=True, dropout=0.0, instance=True)
    parameters = DeformationParameters(look, look, spacing_mm=6.0, lattice_mm=12.0, sigma_mm=14.0, hidden=8)
    template = Template(
        6.0 * (8 - np.linalg.norm(np.indices((21,) * 3) - 10.0, axis=0)), np.zeros((0, 21, 21, 21)), np.zeros(0), 6.0
    )
    torch.manual_seed(0)
    network = DeformationNetwork(parameters, template).eval()
    volume = torch.rand(1, 1, 24, 24, 24)
    with torch.inference_mode():
        dense, quality = network.expect(volume)
        own, again = network(volume), network(volume, dense=dense)
        torch.testing.assert_close(again.phi, own.phi)
        torch.testing.assert_close(quality, own.quality)
        torch.testing.assert_close(again.scores, own.scores)
        elsewhere = torch.full_like(dense, -5.0)
        elsewhere[..., :3, :3, :3] = 5.0
        moved = network(volume, dense=elsewhere)
    assert (moved.phi > 0)[0, 0].nonzero().float().mean() < (own.phi > 0)[0, 0].nonzero().float().mean() - 2
