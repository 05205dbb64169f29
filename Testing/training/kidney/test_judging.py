import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from SlicerHPOLib.kidney.deformation import DeformationNetwork, DeformationParameters
from SlicerHPOLib.kidney.unet import UNet, UNetParameters
from torch.optim import SGD

from training.checkpoint import save_checkpoint
from training.kidney.judging import (
    COPIES,
    Findings,
    JudgePlan,
    _step,
    find,
    found_in,
    judged,
    train_judge,
    with_judge,
)
from training.kidney.shapes import shipped_template
from training.kidney.train import CHECKPOINT, stage, trained

SIZE = 24
TINY = UNetParameters(base=2, levels=2, strided=True, dropout=0.0, instance=True)
NETWORK = DeformationParameters(TINY, TINY, spacing_mm=8.0, lattice_mm=12.0, sigma_mm=14.0, hidden=8, adapted=True)
PLAN = JudgePlan(volumes=10, steps=40, steps_per_epoch=10, batch=8, size=SIZE, spacings_mm=(8.0,), seed=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training folder, of a network that has learned nothing."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    network = DeformationNetwork(NETWORK, shipped_template())
    plan = {"network": asdict(NETWORK), "steps": 2, "steps_per_epoch": 1}
    state = {"plan": plan, "volumes": 4, "epoch": 2, "curves": [{"seconds": 3600}], "before": []}
    save_checkpoint(folder / CHECKPOINT, network, SGD(network.parameters()), state)
    return folder


@pytest.fixture(scope="module")
def judging(run, tmp_path_factory):
    """The folder of a judge's training from it."""
    out = tmp_path_factory.mktemp("judge")
    train_judge(run, out, PLAN, workers=2)
    return out


def test_findings_with_and_without_a_kidney_are_the_same_for_any_number_of_workers(run, judging, tmp_path):
    two, one = find(run, judging / "findings", PLAN), find(run, tmp_path / "findings", PLAN, workers=1)
    for name in Findings.FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    per_volume = np.bincount(one.volume, minlength=PLAN.volumes)
    assert per_volume.min() >= COPIES and per_volume.max() <= 2 * COPIES and len(set(per_volume)) > 1
    assert one.evidence.dtype == np.uint8 and one.evidence.shape[1] == 3 and len(one) == per_volume.sum()
    best = [one.dice[one.volume == n].max() for n in range(PLAN.volumes)]
    assert 0 < np.mean(np.array(best) > 0) < 1 and np.isfinite(one.numbers).all()


def test_a_judge_learns_and_all_else_stays(run, judging):
    before, (network, state) = trained(run)[0], trained(judging)
    assert network.plan == replace(NETWORK, judged=True)
    own = network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in before.state_dict().items())
    losses = [row["train_loss"] for row in state["curves"]]
    assert losses[-1] < losses[0] and len(losses) == 4
    assert state["before"] == [stage(trained(run)[1])] and stage(state)["volumes"] == 10
    assert (judging / "curves.png").is_file()


def test_a_judge_learns_what_is_seen():
    """Of findings with a bright middle, which fit, and of dark ones, which do not."""
    rng = np.random.default_rng(0)
    dice = rng.integers(0, 2, 48).astype(np.float32)
    seen = np.where(dice[:, None, None, None, None] > 0, 200, 60) * np.ones((1, 3, 17, 17, 17))
    findings = Findings(seen.astype(np.uint8), np.zeros((48, 9), np.float32), dice, np.arange(48))
    torch.manual_seed(0)
    network = with_judge(DeformationNetwork(NETWORK, shipped_template()))
    judge = network.judge.train()
    optimizer = torch.optim.AdamW(judge.parameters(), 1e-2)
    for step in range(40):
        _step(PLAN, judge, optimizer, findings, step)
    expected = judged(judge.eval(), findings)
    assert expected[dice > 0].min() > 1 and expected[dice == 0].max() < -1


def test_a_training_that_was_stopped_goes_on(run, judging, tmp_path):
    shutil.copytree(judging / "findings", tmp_path / "findings")
    train_judge(run, tmp_path, PLAN, stop_after=2)
    train_judge(run, tmp_path, PLAN)
    whole, parts = trained(judging)[0].state_dict(), trained(tmp_path)[0].state_dict()
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    with pytest.raises(ValueError, match="Use another folder"):
        train_judge(run, tmp_path, replace(PLAN, learning_rate=1e-3))


def test_a_judge_that_there_was_is_learned_anew(judging):
    again = with_judge(trained(judging)[0])
    first, second = trained(judging)[0].state_dict(), again.state_dict()
    assert list(first) == list(second)
    differ = {name for name in first if not torch.equal(first[name], second[name])}
    assert differ and all(name.startswith("judge.") for name in differ)


def test_too_few_volumes_are_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(ValueError, match=r"2 volumes at least.*given is 1"):
        train_judge(run, tmp_path / "out", replace(PLAN, volumes=1))
    assert not (tmp_path / "out").exists()


def test_a_u_net_has_no_judge(tmp_path):
    network = UNet(TINY)
    state = {"plan": {"network": asdict(TINY), "steps": 1, "steps_per_epoch": 1}, "volumes": 4}
    state |= {"epoch": 1, "curves": [], "before": []}
    save_checkpoint(tmp_path / CHECKPOINT, network, SGD(network.parameters()), state)
    with pytest.raises(ValueError, match="holds a U-Net alone"):
        train_judge(tmp_path, tmp_path / "out", PLAN)


def test_what_is_found_is_compared_with_the_truth(run):
    """Elsewhere lies apart from it."""
    network = trained(run)[0]
    volume = torch.rand(1, 1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    nothing, all_ = torch.zeros_like(volume) > 0, torch.ones_like(volume) > 0
    first, second = found_in(network, volume, nothing, 8.0, True, 7)
    assert first.dice == second.dice == 0 and first.volume == second.volume == [7]
    whole, _ = found_in(network, volume, all_, 8.0, True, 7)
    np.testing.assert_array_equal(whole.evidence, first.evidence)
    assert whole.dice[0] > 0
    assert (first.evidence != second.evidence).any()
