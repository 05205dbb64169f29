"""Signal equations against their limits, and the contrasts radiologists know."""

import numpy as np
import pytest

from training.simulation.contrast import (
    FAMILIES,
    balanced_steady_state,
    draw_contrast,
    inversion_recovery,
    spin_echo,
    spoiled_gradient_echo,
)
from training.simulation.tissues import LABEL, TISSUES


def typical(family, tissue, count=60):
    """Median intensity of a tissue in a family of sequences without fat suppression or contrast agent dominating."""
    return np.median([draw_contrast(np.random.default_rng(n), family).mean[LABEL[tissue]] for n in range(count)])


def test_a_long_tr_and_a_short_te_show_the_proton_density():
    assert spin_echo(500.0, 50.0, 0.8, tr=1e6, te=0.0) == pytest.approx(0.8)
    assert spoiled_gradient_echo(500.0, 50.0, 0.8, tr=1e6, te=0.0, flip=np.pi / 2) == pytest.approx(0.8)


def test_the_ernst_angle_gives_the_largest_gradient_echo_signal():
    t1, tr = 800.0, 20.0
    flips = np.linspace(0.01, np.pi / 2, 2000)
    best = flips[spoiled_gradient_echo(t1, 1e9, 1.0, tr, 0.0, flips).argmax()]
    assert best == pytest.approx(np.arccos(np.exp(-tr / t1)), abs=2e-3)


def test_inversion_recovery_nulls_a_tissue_at_ln_2_times_its_t1():
    assert inversion_recovery(260.0, 80.0, 1.0, tr=1e6, te=0.0, ti=260 * np.log(2)) == pytest.approx(0, abs=1e-9)


def test_balanced_steady_state_at_its_best_angle_is_half_the_root_of_t2_over_t1():
    t1, t2 = 1000.0, 100.0
    best = np.arccos((t1 / t2 - 1) / (t1 / t2 + 1))
    assert balanced_steady_state(t1, t2, 1.0, best) == pytest.approx(0.5 * np.sqrt(t2 / t1))


@pytest.mark.parametrize(
    ("family", "brighter", "darker"),
    [
        ("t1_se", "fat", "muscle"),
        ("t1_se", "white_matter", "csf"),
        ("t2_tse", "csf", "muscle"),
        ("t2_tse", "bladder", "prostate"),
        ("mprage", "white_matter", "grey_matter"),
        ("flair", "grey_matter", "csf"),
        ("stir", "spleen", "fat"),
        ("bssfp", "csf", "muscle"),
        ("pd", "grey_matter", "cortical_bone"),
    ],
)
def test_each_family_shows_the_contrast_it_is_used_for(family, brighter, darker):
    assert typical(family, brighter) > typical(family, darker)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_gives_finite_intensities_and_no_signal_from_air(family):
    for seed in range(20):
        contrast = draw_contrast(np.random.default_rng(seed), family)
        assert contrast.family == family
        assert contrast.mean.shape == (len(TISSUES),)
        assert np.isfinite(contrast.mean).all()
        assert (contrast.mean >= 0).all()
        assert 0.5 < np.sort(contrast.mean)[-4] < 1.5
        assert contrast.mean[[LABEL["air"], LABEL["airway"], LABEL["bowel_gas"]]].max() == 0


def test_the_same_seed_draws_the_same_contrast():
    one, two = (draw_contrast(np.random.default_rng(5)) for _ in range(2))
    assert one.family == two.family
    np.testing.assert_array_equal(one.mean, two.mean)
