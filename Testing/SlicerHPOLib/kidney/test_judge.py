from dataclasses import replace

import numpy as np
import pytest
import torch
from SlicerHPOLib.kidney.deformation import DeformationNetwork, DeformationParameters, network_of
from SlicerHPOLib.kidney.judge import NUMBERS, Judge, evidence, numbers
from SlicerHPOLib.kidney.scales import found_at_scales, seen_in
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.transforms import centre_of, points_of
from SlicerHPOLib.kidney.unet import UNetParameters

LOOK = UNetParameters(base=2, levels=2, strided=True, dropout=0.0, instance=True)
PLAN = DeformationParameters(LOOK, LOOK, spacing_mm=6.0, lattice_mm=12.0, sigma_mm=14.0, hidden=8, judged=True)
BALL = 6.0 * (8 - np.linalg.norm(np.indices((21,) * 3) - 10.0, axis=0))
TEMPLATE = Template(BALL, 0.1 * BALL[None], np.ones(1), 6.0)
SIZE = 24


@pytest.fixture
def network():
    torch.manual_seed(0)
    return DeformationNetwork(PLAN, TEMPLATE).eval()


def ball_at(offset_mm, radius_mm=40.0):
    """(1, 1, D, H, W) distance in mm to a ball beside the middle of a volume."""
    points = points_of((SIZE,) * 3, 6.0, torch.zeros(1)) - torch.tensor(centre_of((SIZE,) * 3, 6.0))
    return (radius_mm - (points - torch.tensor(offset_mm)).norm(dim=-1))[:, None]


def found(network, offset_mm=(0.0, 0.0, 0.0)):
    """The template posed by the moments of a map."""
    return network(0.2 + 0.6 * (ball_at(offset_mm) > 0), dense=ball_at(offset_mm)[..., ::2, ::2, ::2] / 4)


def test_evidence_lies_in_the_templates_frame_wherever_the_kidney_lies(network):
    """A ball beside the middle is in the middle of the evidence: image, map, and distance to the capsule."""
    with torch.inference_mode():
        for offset in ((0.0, 0.0, 0.0), (18.0, -12.0, 6.0)):
            deformation = found(network, offset)
            volume = 0.2 + 0.6 * (ball_at(offset) > 0)
            image, map_, distance = evidence(network, volume, deformation)[0]
            middle = image.shape[0] // 2
            assert image[middle, middle, middle] == pytest.approx(0.8, abs=0.05)
            assert map_[middle, middle, middle] > 0.95 and distance[middle, middle, middle] == pytest.approx(1)
            assert distance.min() == pytest.approx(-1) and map_[0, 0, 0] < 0.1
            away = torch.arange(len(image)) - middle
            for profile in (distance[middle, middle] > 0, distance[:, middle, middle] > 0):
                assert abs((profile * away).sum() / profile.sum()) < 1  # lattice points off the middle


def test_numbers_say_what_was_expected_and_how_large_it_is(network):
    with torch.inference_mode():
        deformation = found(network)
        views = torch.tensor([[0.5, -1.0, 2.0, 0.0]])
        least, median, most, last, ml, larger, *scales = numbers(deformation, views, 3.0)[0].tolist()
    assert (least, median, most) == (-1.0, 0.25, 2.0) and last == float(deformation.quality)
    inside, mapped = int((deformation.phi > 0).sum()), float(torch.sigmoid(deformation.scores).sum())
    assert ml == pytest.approx(np.log(inside * 27 / 1000)) and larger == pytest.approx(np.log(mapped / inside))
    np.testing.assert_allclose(scales, deformation.pose[0, 6:])


def test_the_judge_has_the_last_word(network):
    """What is found does not depend on it, the Dice to be expected on it alone, and it is part of the weights."""

    def volume_of(view):
        return seen_in(view, 0.2 + 0.6 * (ball_at((6.0, 0.0, -6.0)) > 0))

    other = network_of(PLAN, network.state_dict())
    torch.nn.init.constant_(other.judge.perceptron[-1].bias, 3.0)
    without = DeformationNetwork(replace(PLAN, judged=False), TEMPLATE).eval()
    without.load_state_dict({n: v for n, v in network.state_dict().items() if not n.startswith("judge.")})
    with torch.inference_mode():
        one, two, none = (found_at_scales(each, volume_of, 4.0) for each in (network, other, without))
    assert torch.equal(one.phi, two.phi) and torch.equal(one.phi, none.phi)
    own = network.judge.perceptron[-1].bias.item()
    assert float(two.quality - one.quality) == pytest.approx(3.0 - own, abs=1e-5)
    assert float(none.quality) != float(one.quality)


def test_every_volume_is_judged_by_itself():
    torch.manual_seed(0)
    judge = Judge().eval()
    seen, known = torch.rand(3, 3, 17, 17, 17), torch.randn(3, NUMBERS)
    with torch.inference_mode():
        together = judge(seen, known)
        alone = torch.cat([judge(seen[n : n + 1], known[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, alone)
    assert together.shape == (3,)
