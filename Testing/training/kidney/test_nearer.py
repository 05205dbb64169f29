import numpy as np
import torch
from SlicerHPOLib.kidney.scales import middle_and_size
from SlicerHPOLib.kidney.transforms import centre_of, points_of

from training.kidney.nearer import EXTENTS, nearer

SIZE, FINE = 24, 48


def ball(radius, middle=(0.0, 0.0, 0.0)):
    """A bright ball, and the distance to it in voxels."""
    points = points_of((FINE,) * 3, 1.0, torch.zeros(1)) - torch.tensor(centre_of((FINE,) * 3, 1.0))
    distance = (radius - (points - torch.tensor(middle)).norm(dim=-1))[:, None]
    return 0.2 + 0.6 * (distance > 0).float(), distance


def test_a_kidney_has_a_size_that_was_asked_for_near_the_middle_and_its_distance_is_in_the_views_voxels():
    sizes = []
    for seed in range(20):
        image, distance = nearer(*ball(9.0, (6.0, -4.0, 3.0)), SIZE, np.random.default_rng(seed))
        assert image.shape == distance.shape == (1, 1, SIZE, SIZE, SIZE)
        middle, size = middle_and_size((distance > 0).float())
        assert np.abs(middle).max() < 0.5
        sizes.append(size)
        slope = torch.stack(torch.gradient(distance[0, 0])).norm(dim=0)
        assert 0.9 < slope[distance[0, 0].abs() < 1.5].mean() < 1.1
        assert image[distance > 1].mean() > 0.7 and image[(distance < -1) & (image > 0)].mean() < 0.3
    assert min(sizes) > EXTENTS[0] - 0.03 and max(sizes) < EXTENTS[1] + 0.03 and np.ptp(sizes) > 0.08


def test_without_a_kidney_some_part_is_seen_and_a_seed_gives_it_again():
    image, _ = ball(9.0)
    nothing = torch.full_like(image, -8.0)
    one, two, other = (nearer(image, nothing, SIZE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0]) and not torch.equal(one[0], other[0])
    assert (one[1] < 0).all()
