import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from SlicerHPOLib.quantised import LEVELS, SMALLEST, STEP, quantised, restored


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(64, 64), (16, 16, 3, 3, 3), (2, 4096)]), st.floats(-6, 6))
def test_no_weight_is_off_by_more_than_half_a_step(seed, shape, magnitude):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** (magnitude + rng.uniform(-2, 2, shape[0]))
    weights = torch.from_numpy(rng.normal(size=shape) * scales.reshape(-1, *[1] * (len(shape) - 1))).float()
    weights[0] = 0
    kept = quantised({"w": weights})
    assert kept["w"].dtype == torch.int8 and int(kept["w"].abs().max()) == LEVELS
    found = restored(kept)
    assert list(found) == ["w"]
    off, step = (found["w"] - weights).abs().flatten(1).amax(1), weights.abs().flatten(1).amax(1) / LEVELS
    assert (off <= 0.5001 * step).all() and not found["w"][0].any()


def test_restored_weights_quantise_to_the_same_bytes():
    weights = torch.randn(32, 200, generator=torch.Generator().manual_seed(0))
    once = quantised({"w": weights})
    twice = quantised(restored(once))
    assert torch.equal(once["w"], twice["w"])


def test_small_tensors_stay_halves_and_counts_stay_whole():
    small, count = torch.tensor([0.1, -3.0]), torch.tensor(7)
    kept = quantised({"bias": small, "count": count, "few": torch.ones(2, SMALLEST // 2 - 1)})
    assert kept["bias"].dtype == kept["few"].dtype == torch.float16 and kept["count"].dtype == torch.int64
    found = restored(kept)
    assert torch.equal(found["bias"], small.half().float()) and found["count"] == 7
    assert quantised({"phi": torch.ones(2, SMALLEST)}, fine=("phi",))["phi"].dtype == torch.float16
    assert not any(name.endswith(STEP) for name in kept)


def test_steps_that_do_not_fit_are_refused():
    kept = quantised({"w": torch.randn(8, SMALLEST)})
    for broken in (
        {**kept, "w" + STEP: torch.ones(7)},
        {**kept, "w": kept["w"].float()},
        {"w" + STEP: kept["w" + STEP]},
    ):
        with pytest.raises(ValueError, match="w"):
            restored(broken)
