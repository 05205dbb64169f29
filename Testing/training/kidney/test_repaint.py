import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from training.kidney.augment import augment
from training.kidney.repaint import compressed, noise, repainted, speckle

SHAPE = (20, 24, 28)
AXES = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in SHAPE], indexing="ij")
DISTANCE = 7 - torch.sqrt((AXES[0] - 10) ** 2 + (AXES[1] - 12) ** 2 + (AXES[2] - 14) ** 2)
SEEN = (AXES[2] - 14).abs() <= 3 + 0.6 * AXES[0]


def generator(seed):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_only_the_field_of_view_is_painted_and_it_uses_the_whole_range(seed, empty):
    grey = repainted(SEEN, torch.full(SHAPE, -9.0) if empty else DISTANCE, generator(seed))
    assert grey.shape == SHAPE and torch.isfinite(grey).all() and grey.max() <= 1
    assert torch.equal(grey > 0, SEEN)
    assert grey[SEEN].max() == 1 and grey[SEEN].min() < 0.02
    assert torch.equal(
        grey, repainted(SEEN, torch.full(SHAPE, -9.0) if empty else DISTANCE, generator(seed))
    )  # from the seed alone


def test_the_kidney_shows_in_most_volumes_and_its_greys_differ_between_them():
    contrasts = []
    for seed in range(40):
        grey = repainted(SEEN, DISTANCE, generator(seed))
        cortex = grey[SEEN & (DISTANCE > 0.5) & (DISTANCE < 2.5)].mean()
        around = grey[SEEN & (DISTANCE < -4) & (DISTANCE > -7)].mean()
        contrasts.append(float(cortex - around))
    contrasts = torch.tensor(contrasts)
    assert (contrasts.abs() > 0.05).float().mean() > 0.7
    assert contrasts.std() > 0.1 and (contrasts < 0).float().mean() > 0.5  # cortex is darker as a rule


def test_without_a_kidney_nothing_is_at_its_place():
    """The grey at the place of a kidney is that of its surroundings, on average over volumes."""
    inside = torch.stack(
        [repainted(SEEN, torch.full(SHAPE, -9.0), generator(n))[DISTANCE > 3].mean() for n in range(30)]
    )
    around = torch.stack([repainted(SEEN, torch.full(SHAPE, -9.0), generator(n))[SEEN].mean() for n in range(30)])
    assert (inside - around).mean().abs() < 0.08


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_speckle_has_a_mean_of_one(seed):
    grain = speckle(SHAPE, generator(seed))
    assert grain.mean() == pytest.approx(1, abs=0.02) and grain.min() >= 0.05


def test_noise_changes_as_slowly_as_it_is_told():
    fine, coarse = (noise((40, 40, 40), grain, generator(0)) for grain in (1.0, 10.0))
    steps = [(field[1:] - field[:-1]).std() for field in (fine, coarse)]
    assert fine.std() == pytest.approx(1, abs=1e-3) == coarse.std() and steps[1] < 0.3 * steps[0]


def test_nothing_seen_is_black():
    assert not compressed(torch.ones(SHAPE), 1.0, torch.zeros(SHAPE, dtype=torch.bool)).any()


def test_augmentation_repaints_some_volumes_and_keeps_their_shapes():
    images = torch.where(SEEN, 0.5, 0.0)[:, :, 2:26].expand(40, 1, 20, 24, 24)[..., 2:22, :20].clone()
    distances = DISTANCE[:, :, 2:26].expand(40, 1, 20, 24, 24)[..., 2:22, :20].clone()
    changed, moved = augment(images, distances, generator(3), strength=1.0)
    spread = torch.stack([volume[volume > 0].std() for volume in changed])
    assert 0.3 < (spread > 0.15).float().mean() < 0.9  # an even grey stays even where it is not repainted
    assert moved.shape == distances.shape
