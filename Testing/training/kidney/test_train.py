from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from SlicerHPOLib.bundle import write_bundle
from SlicerHPOLib.kidney.deformation import Deformation, DeformationNetwork, DeformationParameters
from SlicerHPOLib.kidney.segmenter import TASK
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.transforms import centre_of, points_of
from SlicerHPOLib.kidney.unet import UNetParameters

from training.kidney.dataset import EMPTY, STEPS, Volumes
from training.kidney.train import (
    CHECKPOINT,
    TrainingPlan,
    average,
    draw_weights,
    learning_rate,
    loss_of,
    occupancy,
    shifted_maps,
    stage,
    train,
    trained,
    validate,
)

SIZE = 24
TINY = UNetParameters(base=4, levels=2, strided=True, dropout=0.0)
NETWORK = DeformationParameters(encoder=TINY, look=TINY, spacing_mm=6.0, lattice_mm=12.0, sigma_mm=14.0, hidden=8)
PLAN = TrainingPlan(NETWORK, steps=6, steps_per_epoch=2, batch=2, validation=4, precision="float32")


def ellipsoid(size, spacing, semi_mm, centre_mm=(0.0, 0.0, 0.0)):
    points = points_of((size,) * 3, spacing, torch.zeros(1))[0] - torch.tensor(centre_of((size,) * 3, spacing))
    semi = torch.tensor(semi_mm)
    return ((1 - ((points - torch.tensor(centre_mm)) / semi).norm(dim=-1)) * min(semi_mm)).numpy()


TEMPLATE = Template(ellipsoid(21, 5.0, (24.0, 20.0, 36.0)), np.zeros((0, 21, 21, 21)), np.zeros(0), 5.0)


def volumes(count, seed=0):
    """Bright ellipsoids in noise; the last shows none."""
    rng = np.random.default_rng(seed)
    distances = np.stack([ellipsoid(SIZE, 6.0, (24.0, 20.0, 36.0), rng.uniform(-20, 20, 3)) for _ in range(count)]) / 6
    distances[-1] = -8
    images = 255 * (0.5 * (distances > 0) + 0.5 * rng.random(distances.shape))
    population = np.where(np.arange(count) == count - 1, EMPTY, np.arange(count) % 3 == 0)
    return Volumes(
        images.astype(np.uint8),
        np.clip(np.rint(distances * STEPS), -127, 127).astype(np.int8),
        population.astype(np.uint8),
        np.full(count, 6.0, np.float32),
    )


def test_a_first_look_trains_on_volumes_that_are_seen_from_nearer(tmp_path):
    plan = replace(PLAN, network=TINY, pool=2, nearer=0.5)
    whole, parts = train(volumes(12), tmp_path / "whole", plan), tmp_path / "parts"
    train(volumes(12), parts, plan, stop_after=1)
    train(volumes(12), parts, plan)
    from_afar = train(volumes(12), tmp_path / "afar", replace(plan, nearer=0.0))
    assert whole.read_bytes() != from_afar.read_bytes()
    resumed, once = load_file(parts / CHECKPOINT), load_file(whole)
    assert all(torch.equal(resumed[name], once[name]) for name in once)
    with pytest.raises(ValueError, match="only a U-Net"):
        replace(PLAN, nearer=0.5)


def test_a_training_that_was_killed_ends_with_the_same_weights(tmp_path):
    data = volumes(12)
    whole = train(data, tmp_path / "whole", PLAN, TEMPLATE)
    train(data, tmp_path / "parts", PLAN, TEMPLATE, stop_after=1)
    assert stage(trained(tmp_path / "parts")[1])["stopped_after"] == 2  # steps, of 6
    parts = train(data, tmp_path / "parts", PLAN, TEMPLATE)
    assert "stopped_after" not in stage(trained(tmp_path / "parts")[1])
    one, two = load_file(whole), load_file(parts)
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name
    assert (tmp_path / "parts" / "curves.png").stat().st_size > 1000
    assert len((tmp_path / "parts" / "curves.csv").read_text().splitlines()) == 4
    with pytest.raises(ValueError, match="Use another folder"):
        train(data, tmp_path / "parts", replace(PLAN, seed=1), TEMPLATE)


def test_it_learns_where_a_kidney_is(tmp_path):
    plan = replace(PLAN, steps=80, steps_per_epoch=80, batch=4, augmentation=0.0, learning_rate=5e-3, validation=6)
    train(volumes(40), tmp_path, plan, TEMPLATE)
    row = (tmp_path / "curves.csv").read_text().splitlines()[-1].split(",")
    assert float(row[3]) > 0.75 and float(row[5]) > 0.6  # Dice of adults, by deformation and by the dense map


@pytest.mark.parametrize("network", [TINY, replace(NETWORK, pose="none"), replace(NETWORK, pose="regressed")])
def test_every_method_trains_and_goes_on_from_another_training(tmp_path, network):
    plan = replace(PLAN, network=network, steps=2)
    train(volumes(10), tmp_path / "first", plan, TEMPLATE)
    again = train(volumes(10), tmp_path / "second", replace(plan, seed=5), TEMPLATE, initial=tmp_path / "first")
    assert again.name == CHECKPOINT


def test_a_u_net_becomes_the_first_look_and_stays_as_it_is(tmp_path):
    unet = train(volumes(12), tmp_path / "unet", replace(PLAN, network=TINY))
    plan = replace(PLAN, dense_weight=0.0)
    looks = train(volumes(12), tmp_path / "looks", plan, TEMPLATE, first_look=tmp_path / "unet")
    before, after = load_file(unet), load_file(looks)
    for name, tensor in before.items():
        if name.startswith("network."):
            assert torch.equal(after[name.replace("network.head", "network.dense_head")], tensor), name
    assert after["network.second_look.velocity.weight"].any()
    stopped = train(volumes(12), tmp_path / "parts", plan, TEMPLATE, first_look=tmp_path / "unet", stop_after=1)
    train(volumes(12), tmp_path / "parts", plan, TEMPLATE)
    assert all(torch.equal(tensor, after[name]) for name, tensor in load_file(stopped).items())


def test_a_second_look_goes_on_behind_another_first_look(tmp_path):
    train(volumes(12), tmp_path / "looks", PLAN, TEMPLATE)
    other = UNetParameters(base=2, levels=2, strided=True, dropout=0.0)
    train(volumes(12), tmp_path / "unet", replace(PLAN, network=other))
    plan = replace(PLAN, network=replace(NETWORK, encoder=other), dense_weight=0.0, learning_rate=0.0, weight_decay=0.0)
    parts = {"initial": tmp_path / "looks", "first_look": tmp_path / "unet"}
    after = load_file(train(volumes(12), tmp_path / "both", plan, TEMPLATE, **parts))
    look, unet = (load_file(folder / CHECKPOINT) for folder in parts.values())
    assert torch.equal(after["network.second_look.velocity.weight"], look["network.second_look.velocity.weight"])
    assert torch.equal(after["network.dense_head.weight"], unet["network.head.weight"])


def test_training_goes_on_from_a_deployed_model_without_what_it_has_for_children_alone(tmp_path):
    network = DeformationNetwork(replace(NETWORK, adapted=True), TEMPLATE)
    for weights in network.parameters():
        weights.data += 0.05 * torch.randn(weights.shape)
    stages = [{"plan": {}, "volumes": 7, "hours": 1.0}]
    manifest = {
        "name": "tiny",
        "task": TASK,
        "summary": "Random weights.",
        "architecture": asdict(network.plan),
        "input": {"spacings_mm": [6.0], "size": SIZE},
        "decision": {"least_confidence": 0.5},
        "training": {"stages": stages},
        "metrics": {},
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": "Not for clinical use.",
    }
    model = write_bundle(tmp_path / "model", manifest, network.state_dict(), "# Tiny")
    still = replace(PLAN, steps=1, learning_rate=0.0, weight_decay=0.0)
    train(volumes(12), tmp_path / "whole", still, TEMPLATE, initial=model)
    train(volumes(12), tmp_path / "looks", replace(still, dense_weight=0.0), TEMPLATE, initial=model, first_look=model)
    train(volumes(12), tmp_path / "unet", replace(still, network=TINY), initial=model)
    own = network.state_dict()
    for run in ("whole", "looks", "unet"):
        after, state = trained(tmp_path / run)
        assert state["before"][0] == stages[0]
        for name, tensor in after.named_parameters():
            assert torch.equal(tensor, own["dense_" * name.startswith("head.") + name]), (run, name)


def test_a_training_of_another_network_is_refused(tmp_path):
    train(volumes(12), tmp_path / "unet", replace(PLAN, network=TINY))
    with pytest.raises(ValueError, match="another network"):
        train(volumes(12), tmp_path / "looks", PLAN, TEMPLATE, initial=tmp_path / "unet")
    assert not (tmp_path / "looks").exists()
    with pytest.raises(ValueError, match="holds no training"):
        train(volumes(12), tmp_path / "new", PLAN, TEMPLATE, initial=tmp_path / "nowhere")


def test_too_few_volumes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="too few"):
        train(volumes(5), tmp_path, PLAN, TEMPLATE)
    with pytest.raises(ValueError, match="needs a template"):
        train(volumes(12), tmp_path, PLAN)


def test_children_are_drawn_as_often_as_adults():
    data = volumes(13)
    weights = draw_weights(data, 0.5)
    assert weights.sum() == pytest.approx(1)
    assert weights[data.population == 0].sum() == pytest.approx(weights[data.population == 1].sum())
    np.testing.assert_allclose(draw_weights(data, None), 1 / 13)


def test_the_rate_rises_and_falls_to_nothing():
    rates = [learning_rate(replace(PLAN, steps=100), step) for step in range(100)]
    assert max(rates) == pytest.approx(PLAN.learning_rate, rel=0.01) and rates[-1] < 1e-2 * max(rates)
    assert rates[0] < rates[2] and (np.diff(rates[3:]) <= 0).all()


def test_a_voxel_at_the_surface_is_half_inside():
    np.testing.assert_allclose(occupancy(torch.tensor([-1.0, -0.25, 0.0, 0.25, 1.0])), [0, 0.25, 0.5, 0.75, 1])


def found_as(phi, scores, quality):
    field = torch.zeros(1, 3, 2, 2, 2)
    return Deformation(phi, torch.zeros(1, 9), torch.zeros(1, 0), field, field, 8.0, scores, torch.tensor([quality]))


def test_a_volume_without_a_kidney_costs_the_dense_map_and_too_high_hopes():
    nothing = torch.zeros(1, 1, 4, 4, 4)
    empty, full = torch.full_like(nothing, -30.0), torch.full_like(nothing, 30.0)
    assert loss_of(PLAN, found_as(full, empty, -30.0), nothing).item() == pytest.approx(0, abs=1e-6)
    assert loss_of(PLAN, found_as(empty, full, -30.0), nothing).item() > 5
    assert loss_of(PLAN, found_as(full, empty, 30.0), nothing).item() > 5
    everything = torch.ones_like(nothing)
    assert loss_of(PLAN, found_as(empty, empty, -30.0), everything).item() > 5
    assert loss_of(PLAN, found_as(full, full, 30.0), everything).item() == pytest.approx(0, abs=1e-3)


def test_the_quality_that_costs_least_is_the_dice_reached():
    truth, phi = torch.zeros(1, 1, 4, 4, 4), torch.full((1, 1, 4, 4, 4), -30.0)
    truth[:, :, :2], phi[:, :, 1:3] = 1.0, 30.0  # half of each in common: Dice 0.5
    costs = [loss_of(PLAN, found_as(phi, phi, logit), truth).item() for logit in (-0.5, 0.0, 0.5)]
    assert costs[1] < min(costs[0], costs[2])


def test_validation_leaves_empty_volumes_out():
    data = volumes(2)
    perfect = torch.from_numpy(data.distances[:1]).float()[:, None]

    class Perfect(torch.nn.Module):
        def forward(self, images):
            return perfect

    adult, child, dense_adult, dense_child = validate(Perfect(), data, torch.device("cpu"))
    assert np.isnan([adult, child, dense_adult]).all() and dense_child == 1


def test_the_second_look_learns_from_maps_as_in_use_shifted_each_by_a_number_of_its_own():
    """A first look that calls bright voxels kidney, pooled by 2."""

    class Network:
        def map_of(self, volume):
            return torch.logit(torch.nn.functional.avg_pool3d(volume, 2).clamp(1e-3, 1 - 1e-3))

    size, rng = 40, np.random.default_rng(0)
    centres = rng.uniform(-20, 20, (3, 3))
    balls = np.stack([ellipsoid(size, 4.0, (20.0, 20.0, 20.0), centre) for centre in centres])
    images = torch.from_numpy(balls > 0).float()[:, None]
    mean = shifted_maps(Network(), images, rng)
    inside, truth = mean > 0, torch.nn.functional.avg_pool3d(images, 2) > 0.5
    dice = 2 * (inside & truth).flatten(1).sum(1) / (inside.sum((1, 2, 3, 4)) + truth.sum((1, 2, 3, 4)))
    assert dice.min() > 0.8
    again = shifted_maps(Network(), images, np.random.default_rng(1))
    shifts = (again - mean).flatten(1)
    assert (shifts.std(1) < 1e-4).all() and shifts.mean(1).std() > 0.1  # each by a number of its own


def test_a_mean_of_trainings_has_the_mean_of_their_weights(tmp_path):
    data, first = volumes(12), tmp_path / "first"
    train(data, first, PLAN, TEMPLATE)
    train(data, tmp_path / "second", replace(PLAN, seed=1), TEMPLATE, initial=first)
    path = average([first, tmp_path / "second"], tmp_path / "mean")
    one, two, mean = (trained(folder)[0].state_dict() for folder in (first, tmp_path / "second", path.parent))
    for name, value in mean.items():
        torch.testing.assert_close(value, ((one[name] + two[name]) / 2).to(value.dtype))
    assert len(trained(path.parent)[1]["averaged"]) == 2
    with pytest.raises(ValueError, match="two trainings or more"):
        average([first], tmp_path / "other")
    with pytest.raises(ValueError, match="holds a training"):
        average([first, first], path.parent)
    train(data, tmp_path / "net", replace(PLAN, network=TINY))
    with pytest.raises(ValueError, match="different networks"):
        average([first, tmp_path / "net"], tmp_path / "other")
