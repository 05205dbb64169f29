from dataclasses import replace

import numpy as np
import pytest
import torch
from SlicerHPOLib.kidney.deformation import DeformationNetwork, DeformationParameters
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.unet import REFERENCE, UNet, UNetParameters
from torch.nn import functional

from training.kidney.dataset import EMPTY, STEPS, Volumes
from training.kidney.train import batch_of, occupancy, trained
from training.kidney.transfer import (
    ADDED,
    LAYERS,
    REMEMBERED,
    TransferPlan,
    _last,
    added_weights,
    convolutions,
    dice_of,
    prepared,
    remembered,
    sizes_of,
    transfer,
)

SIZE = 16
NETWORK = UNetParameters(base=4, levels=2, strided=True, dropout=0.0)
PLAN = TransferPlan("fine-tuning", 5e-3, steps=60, steps_per_epoch=30, augmentation=0.0, precision="float32")


def volumes(count, bright=0.9, radius=4.5, seed=0):
    """Balls of a brightness and radius (voxels) in noise."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.indices((SIZE,) * 3), -1)
    distances = np.stack([radius - np.linalg.norm(at - rng.uniform(6, 10, 3), axis=-1) for _ in range(count)])
    images = np.where(distances > 0, bright, 0.4) + 0.05 * rng.normal(size=distances.shape)
    return Volumes(
        np.clip(255 * images, 0, 255).astype(np.uint8),
        np.clip(np.rint(distances * STEPS), -127, 127).astype(np.int8),
        np.zeros(count, np.uint8),
        np.full(count, 4.0, np.float32),
    )


@pytest.fixture(scope="module")
def source():
    """A network that knows bright balls."""
    torch.manual_seed(0)
    return transfer(UNet(NETWORK), volumes(12), replace(PLAN, steps=150)).network


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("strategy", ["fine-tuning", "up to 2", "from 5", REMEMBERED, *ADDED])
def test_every_strategy_starts_where_the_network_is(source, strategy):
    images = torch.rand(2, 1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(prepared(source, strategy).eval()(images), torch.sigmoid(source.eval()(images)))


@pytest.mark.parametrize("strategy", ["fine-tuning", "from 3", REMEMBERED, *ADDED])
def test_every_strategy_learns_dark_small_balls_and_leaves_the_network_as_it_was(source, strategy):
    before, dark = weights(source), volumes(8, bright=0.7, radius=3.4, seed=1)
    model = transfer(source, dark, replace(PLAN, strategy=strategy, learning_rate=1e-2, steps=120))
    assert np.mean(dice_of(model, dark)) > np.mean(dice_of(prepared(source, "fine-tuning").eval(), dark)) + 0.02
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


@pytest.mark.parametrize("strategy", ["up to 2", "from 6", REMEMBERED, *ADDED])
def test_what_is_frozen_keeps_its_weights_and_statistics(source, strategy):
    model = transfer(source, volumes(8, bright=0.55, seed=1), replace(PLAN, strategy=strategy, steps=6))
    before, after = weights(prepared(source, strategy)), weights(model)
    learned = {name.rpartition(".")[0] for name, value in model.named_parameters() if value.requires_grad}
    assert 0 < len(learned) < len({name.rpartition(".")[0] for name in after})
    for name, value in after.items():
        if name.rpartition(".")[0] not in learned:
            assert torch.equal(value, before[name]), name
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def test_the_reference_gains_23_million_weights_by_fixed_convolutions():
    network = UNet(REFERENCE)
    gained = sum(p.numel() for p in prepared(network, "fixed convolutions").parameters() if p.requires_grad)
    assert round(gained / 1e6, 1) == 23.2
    assert len(convolutions(network)) == 15


def test_a_guard_keeps_the_answers_nearer_to_those_before(source):
    dark = volumes(8, bright=0.55, seed=1)
    images = torch.from_numpy(dark.images[:4]).float()[:, None] / 255
    away = []
    for guard in (0.0, 100.0):
        model = transfer(source, dark, replace(PLAN, guard=guard))
        with torch.no_grad():
            away.append(float((model(images) - torch.sigmoid(source.eval()(images))).square().mean()))
    assert away[1] < 0.5 * away[0]


def test_a_transfer_that_was_stopped_goes_on(source, tmp_path):
    data, plan = volumes(6, bright=0.55), replace(PLAN, strategy="geometric + intensity", steps=6, steps_per_epoch=3)
    whole = transfer(source, data, plan, tmp_path / "whole")
    with pytest.raises(ValueError, match="Use another folder"):
        transfer(source, data, replace(plan, seed=1), tmp_path / "whole")
    again = transfer(source, data, plan, tmp_path / "whole")
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert (tmp_path / "whole" / "curves.csv").read_text().count("\n") == 3


def test_what_cannot_be_done_is_refused(source):
    for strategy, message in (
        ("magic", "known are"),
        ("from 99", "convolutions 1 to"),
        ("up to 0", "convolutions 1 to"),
    ):
        with pytest.raises(ValueError, match=message):
            prepared(source, strategy)
    nothing = replace(volumes(3), population=np.full(3, EMPTY, np.uint8))
    with pytest.raises(ValueError, match="shows a kidney"):
        transfer(source, nothing, PLAN)
    with pytest.raises(ValueError, match="for a U-Net"):
        prepared(source, LAYERS)


@pytest.fixture(scope="module")
def deforming():
    """A deformation network at random, with a ball as template."""
    torch.manual_seed(0)
    look = replace(NETWORK, instance=True)
    parameters = DeformationParameters(look, look, spacing_mm=4.0, lattice_mm=8.0, sigma_mm=10.0, hidden=8)
    ball = 4.0 * (4.5 - np.linalg.norm(np.indices((15,) * 3) - 7.0, axis=0))
    return DeformationNetwork(parameters, Template(ball, np.zeros((0, 15, 15, 15)), np.zeros(0), 4.0)).eval()


def test_layers_of_a_deformation_network_learn_children_and_change_nothing_for_adults(deforming, tmp_path):
    plan = replace(PLAN, strategy=LAYERS, steps=40, steps_per_epoch=20, batch=2)
    children = volumes(8, bright=0.7, radius=3.0, seed=1)
    model = transfer(deforming, children, plan, tmp_path, adults=volumes(8, seed=2), stages=[{"earlier": True}])
    before, after = deforming.state_dict(), model.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"child", "gate"}
    assert np.mean(dice_of(model, children)) > np.mean(dice_of(deforming, children)) + 0.02
    adult = model.network.for_population("adult")
    np.testing.assert_array_equal(dice_of(adult, children), dice_of(deforming, children))
    read, state = trained(tmp_path)
    assert read.populations == ("adult", "child") and state["before"] == [{"earlier": True}]
    np.testing.assert_array_equal(dice_of(read.for_population("child"), children), dice_of(model, children))
    with pytest.raises(ValueError, match="known are layers"):
        prepared(deforming, "geometric")


def test_a_gate_without_adults_remembers_those_of_the_network_that_it_came_with(deforming):
    plan = replace(PLAN, strategy=LAYERS, steps=1, batch=2)
    adults, children = volumes(6, radius=4.5), volumes(6, radius=2.5, seed=3)
    ignorant = transfer(deforming, children, plan).network
    assert not ignorant.gate.means.any()
    knowing = transfer(deforming, children, plan, adults=adults).network
    assert torch.allclose(knowing.gate.means[0], sizes_of(deforming, adults).mean(0))
    again = transfer(knowing, children, plan).network
    assert torch.equal(again.gate.means, knowing.gate.means) and torch.equal(
        again.gate.threshold, knowing.gate.threshold
    )


def test_the_last_block_learns_from_what_it_is_given_as_in_the_network(source):
    """One volume, remembered once and not augmented, at the features' resolution: the loss of the first step."""
    plan = replace(PLAN, strategy=REMEMBERED, steps=1, copies=1, batch=1, guard=1.0)
    dark = volumes(1, bright=0.7, seed=1)
    (memory,) = remembered(source, dark, plan)
    image, distances = batch_of(dark, np.array([0]))  # noise everywhere: all is seen
    with torch.no_grad():
        features = source.eval().encoder(image)
        scores = source.head(source.decoder(features))
    torch.testing.assert_close(_last(source, memory.given), scores)
    torch.testing.assert_close(memory.before, torch.sigmoid(scores))
    torch.testing.assert_close(memory.truth, functional.avg_pool3d(occupancy(distances), 2))
    assert added_weights(source, REMEMBERED) == 0
    block = [*source.decoder.blocks[0].parameters(), *source.head.parameters()]
    assert added_weights(source, REMEMBERED, kept=True) == sum(p.numel() for p in block)


def test_a_network_of_one_level_has_no_last_block():
    with pytest.raises(ValueError, match="no decoder"):
        prepared(UNet(UNetParameters(base=2, levels=1)), REMEMBERED)
