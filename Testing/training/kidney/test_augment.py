import numpy as np
import torch
from SlicerHPOLib.kidney.transforms import centre_of, points_of

from training.kidney import augment as augment_module
from training.kidney.augment import _boxes, augment, bending, noise_volumes, swollen

SIZE = 40


def balls(count, radius=9.0):
    points = points_of((SIZE,) * 3, 1.0, torch.zeros(1)) - torch.tensor(centre_of((SIZE,) * 3, 1.0))
    distance = (radius - points.norm(dim=-1))[:, None].expand(count, -1, -1, -1, -1)
    return 0.25 + 0.5 * (distance > 0).float(), distance.contiguous()


def test_distances_stay_distances_and_follow_the_image(monkeypatch):
    monkeypatch.setattr(augment_module, "REPAINTED", 0.0)
    monkeypatch.setattr(augment_module, "BEND", 0.0)
    images, distances = balls(12)
    moved, moved_distances = augment(images, distances, torch.Generator().manual_seed(1))
    assert moved.shape == images.shape and moved.min() >= 0 and moved.max() <= 1
    for n in range(12):
        phi = moved_distances[n, 0]
        slope = torch.stack(torch.gradient(phi)).norm(dim=0)
        assert 0.8 < slope[phi.abs() < 3].mean() < 1.2  # of a ball, a little stretched
        inside, outside = moved[n, 0][phi > 2], moved[n, 0][(phi < -2) & (phi > -6) & (moved[n, 0] > 0)]
        assert inside.mean() > outside.mean()
    volumes = (moved_distances > 0).flatten(1).sum(1).float() / (distances > 0).flatten(1).sum(1)
    assert volumes.min() < 0.8 and volumes.max() > 1.2


def test_a_generator_gives_the_same_volumes_again():
    images, distances = balls(2)
    one = augment(images, distances, torch.Generator().manual_seed(7))
    two = augment(images, distances, torch.Generator().manual_seed(7))
    other = augment(images, distances, torch.Generator().manual_seed(8))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])


def test_without_strength_volumes_are_only_mirrored():
    images, distances = balls(4)
    images[..., :7, 11] = 0.1  # not its own mirror image
    moved, moved_distances = augment(images, distances, torch.Generator().manual_seed(5), strength=0.0)
    assert not torch.equal(moved, images)
    for volume, ball in zip(moved, moved_distances, strict=True):
        flips = [images[0].flip(axes) for axes in ([], [2], [3], [2, 3])]
        assert any(torch.allclose(volume, flip, atol=1e-5) for flip in flips)
        torch.testing.assert_close(ball, distances[0], atol=1e-4, rtol=0)


def test_bendings_are_smooth_cannot_fold_and_change_the_shape():
    for seed in range(6):
        bent = bending(4, SIZE, torch.Generator().manual_seed(seed))  # along x, y, z, where the axes are z, y, x
        slopes = torch.stack(torch.gradient(bent, dim=(1, 2, 3)), -1) * SIZE / 2
        determinants = torch.linalg.det(slopes.flip(-1) + torch.eye(3))
        assert determinants.min() > 0.1 and determinants.max() < 2.5
    _, bent = augment(*balls(8), torch.Generator().manual_seed(4))
    inertia = [torch.linalg.eigvalsh(torch.cov((phi[0] > 0).nonzero().T.float())) for phi in bent]
    assert max(float(axes[-1] / axes[0]) for axes in inertia) > 1.5  # no balls any more


def test_a_mass_only_adds_to_a_kidney_about_one_place_of_its_capsule_and_to_nothing_where_there_is_none():
    _, distances = balls(1)
    ball = distances[0, 0]
    for seed in range(8):
        grown = swollen(ball, torch.Generator().manual_seed(seed))
        added = ((grown > 0) & (ball <= 0)).nonzero().float()
        assert (grown >= ball).all() and len(added) > 0
        assert (added - added.mean(0)).norm(dim=1).max() < 2 * ball.max()
    nothing = torch.full((SIZE,) * 3, -20.0)
    assert swollen(nothing, torch.Generator().manual_seed(0)) is nothing


def test_some_volumes_are_cut_to_a_box():
    images, distances = torch.full((80, 1, 16, 16, 16), 0.8), torch.zeros(80, 1, 16, 16, 16)
    cut, _ = augment(images, distances, torch.Generator().manual_seed(2), strength=1e-6)
    assert (cut == 0).sum() == 0  # as nothing is
    boxes = _boxes(80, 16, torch.Generator().manual_seed(2))
    for box in boxes[:, 0]:
        lengths = [int(box.amax([a for a in range(3) if a != axis]).sum()) for axis in range(3)]
        assert box.sum() == np.prod(lengths) and all(7 <= length <= 16 for length in lengths)
    assert len({float(box.sum()) for box in boxes}) > 40


def test_what_is_outside_of_the_field_of_view_stays_dark():
    images, distances = balls(8)
    images[..., :20] = 0
    moved, _ = augment(images, distances, torch.Generator().manual_seed(3))
    assert ((moved == 0).flatten(1).float().mean(1) > 0.25).all()


def test_noise_is_in_range_and_not_flat():
    volumes = noise_volumes(3, 24, torch.Generator().manual_seed(0))
    assert volumes.shape == (3, 1, 24, 24, 24) and volumes.min() >= 0 and volumes.max() <= 1
    assert (volumes.flatten(1).std(1) > 0.1).all()


def test_every_other_volume_of_noise_is_cut_into_regions_in_a_body():
    regions, texture = noise_volumes(2, 24, torch.Generator().manual_seed(1))[:, 0]
    assert regions[0, 0, 0] < 0.2 and regions[:3, :3, :3].std() < 0.05  # outside of the body
    step = (regions[1:] - regions[:-1]).abs()
    assert step.median() < 0.5 * (texture[1:] - texture[:-1]).abs().median()
