"""A search's trainings: paused as if they had not been, taken up after a kill, stopped where they lead nowhere."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from SlicerHPOLib.fieldofview.network import Architecture
from SlicerHPOLib.job import Cancelled, Job

from training.__main__ import main
from training.fieldofview import objective as module
from training.fieldofview.cost import multiply_adds, weights
from training.fieldofview.dataset import Slices, batches
from training.fieldofview.objective import Objective, limits, plan_of, search_slices
from training.fieldofview.search import describe, search
from training.fieldofview.train import DivergenceError, TrainingPlan
from training.search.method import Observation, Suggestion
from training.search.methods import METHODS
from training.search.spaces import table_2_7

BASE = TrainingPlan(
    Architecture(32, 2, hidden=(8,), normalised=True), schedule="constant", epochs=4, epoch_slices=16, seed=3
)
SMALL = {"blocks": 2, "layers": 1, "filters": 4, "kernel": 3, "separable": False, "batch": 8, "learning_rate": 1e-2}
LIMITS = {"most_weights": 5_000, "most_multiply_adds": 200_000}


def slices(count=240, size=32, seed=0) -> Slices:
    """Slices whose class is how bright they are, 6 of a volume."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 6
    images = np.clip(rng.normal(40 * labels[:, None, None], 20, (count, size, size)), 0, 255)
    return Slices(
        images.astype(np.uint8),
        labels.astype(np.uint8),
        np.full(count, 300, np.float32),
        (np.arange(count) // 6).astype(np.int32),
        np.zeros(count, np.uint8),
    )


DATA = slices(144), slices(24, seed=1)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trail(study):
    return [(o.trial, o.resource, o.configuration, o.loss, o.reason) for o in study.observations]


def test_a_trial_that_was_paused_equals_one_trained_through(tmp_path):
    whole, paused = Objective(DATA, tmp_path / "whole", BASE), Objective(DATA, tmp_path / "paused", BASE)
    first = paused(Suggestion(SMALL, 0, 1))
    at_rest = paused(Suggestion(SMALL, 0, 3))
    loss = paused(Suggestion(SMALL, 0, 4))
    assert whole(Suggestion(SMALL, 0)) == loss  # no resource: to the end
    assert paused(Suggestion(SMALL, 0, 1)) == first  # a result whose process was killed before it was told
    assert len({first, at_rest, loss}) == 3
    weights_of = [load_file(o.folder / "trial-00000" / "checkpoint.safetensors") for o in (whole, paused)]
    assert all(torch.equal(weights_of[0][name], weights_of[1][name]) for name in weights_of[0])


def test_an_objective_that_was_sent_to_another_process_trains_the_same(tmp_path):
    here = Objective(DATA, tmp_path / "here", BASE)
    sent = pickle.loads(pickle.dumps(Objective(DATA, tmp_path / "there", BASE)))
    assert here(Suggestion(SMALL, 0, 2)) == sent(Suggestion(SMALL, 0, 2))


def test_the_same_slices_are_seen_in_the_same_order_whatever_the_batch():
    seen = {
        batch: [np.concatenate(list(batches(144, batch, 3, epoch, 16))) for epoch in range(10)] for batch in (4, 16)
    }
    assert all((a == b).all() for a, b in zip(*seen.values(), strict=True))
    in_all = np.concatenate(seen[4])
    assert sorted(in_all[:144]) == list(range(144))  # every slice once before one comes again
    assert len(in_all) == 10 * 16


def test_a_configuration_changes_what_table_2_7_names_and_nothing_else():
    plan = plan_of(SMALL, BASE)
    assert (plan.batch, plan.learning_rate) == (8, 1e-2)
    assert plan.architecture == Architecture(32, 2, 2, 1, 4, 3, False, (8,), normalised=True)
    assert replace(plan, architecture=BASE.architecture, batch=64, learning_rate=1e-3) == BASE


@pytest.fixture
def data_set(tmp_path, monkeypatch):
    """A folder of three shards, and a validation that fits it."""
    monkeypatch.setattr(module, "VALIDATION", 40)
    (tmp_path / "dataset.json").write_text('{"seed": 0}')
    for shard in range(3):
        np.savez(
            tmp_path / f"shard-0000{shard}.npz",
            **{name: getattr(slices(120), name) + (100 * shard if name == "volume" else 0) for name in Slices.FIELDS},
        )
    return tmp_path


def test_the_command_goes_on_and_says_what_is_best_and_where(data_set, capsys):
    journal = data_set / "s.journal"
    options = {"--data": data_set, "--study": journal, "--method": "random", "--resource": 2, "--slices": 16}
    options |= {"--size": 32, "--hidden": 8, "--threads": 1, "--most-weights": 5000, "--most-multiply-adds": 200_000}

    def searched(**more) -> int:
        named = options | {f"--{name}": value for name, value in more.items()}
        return main(["search", "fieldofview", "--normalised", *(str(word) for pair in named.items() for word in pair)])

    for trainings in (2, 3):
        assert searched(trainings=trainings) == 0
        said = capsys.readouterr().out
        assert f"{trainings} trainings of {trainings} configurations, 0 failed" in said
        assert "best: loss 1." in said and str(journal) in said
    assert len(list(data_set.glob("s.trials/trial-*/checkpoint.safetensors"))) == 3
    assert searched(trainings=3, seed=1) == 2
    assert "another settings" in capsys.readouterr().err


def test_slices_are_resized_once_and_validation_has_volumes_of_its_own(data_set):
    small = replace(BASE, architecture=replace(BASE.architecture, input_size=16, blocks=2), epoch_slices=32)
    training, validation = search_slices(data_set, small)
    assert training.images.shape[1:] == validation.images.shape[1:] == (16, 16)
    assert training.images.dtype == np.uint8
    assert training.images[training.labels == 5].mean() == pytest.approx(slices().images[5::6].mean(), abs=1)
    assert not set(training.volume) & set(validation.volume)
    assert len(training) + len(validation) == 240  # the third shard is not needed
    with pytest.raises(ValueError, match="simulate more"):
        search_slices(data_set, replace(BASE, epochs=400))


def test_limits_are_the_costs_of_the_networks_that_would_be_trained():
    few, cheap = limits(BASE, 5_000, 200_000)
    plan = plan_of(SMALL, BASE)
    assert few.cost(SMALL) == weights(plan.architecture) < few.most
    assert cheap.cost(SMALL) == multiply_adds(plan.architecture) < cheap.most
    assert few.cost(SMALL | {"filters": 128}) > few.most


@pytest.mark.parametrize("method", METHODS)
def test_no_method_suggests_what_exceeds_a_limit(method):
    space, kept = table_2_7(7), limits(BASE, 5_000, 200_000)
    searching = METHODS[method](space, 4, 0, kept)
    rng = np.random.default_rng(0)
    for _ in range(40):
        (suggestion,) = searching.ask()
        assert all(limit.cost(suggestion.configuration) <= limit.most for limit in kept)
        searching.tell(Observation(suggestion.configuration, suggestion.trial, rng.random(), suggestion.resource))


@pytest.mark.parametrize("method", METHODS)
def test_limits_that_nothing_keeps_are_named(method):
    with pytest.raises(ValueError, match="No configuration keeps weights"):
        METHODS[method](table_2_7(7), 4, 0, limits(BASE, 10, 10)).ask()


def test_the_same_seed_is_the_same_search_and_a_stopped_one_goes_on(tmp_path):
    whole = search(DATA, tmp_path / "whole.journal", BASE, 6, **LIMITS)
    for trainings in (3, 6):
        parts = search(DATA, tmp_path / "parts.journal", BASE, trainings, **LIMITS)
        assert len(parts.observations) == trainings
    assert trail(whole) == trail(parts)
    other = search(DATA, tmp_path / "other.journal", replace(BASE, seed=4), 2, **LIMITS)
    assert trail(other) != trail(whole)[:2]
    with pytest.raises(ValueError, match="another settings"):
        search(DATA, tmp_path / "whole.journal", replace(BASE, epoch_slices=64), 6, **LIMITS)


WORKER = """
    import os, sys
    sys.path.insert(0, sys.argv[2])
    import torch
    from SlicerHPOLib.job import Job
    from test_objective import BASE, DATA, LIMITS
    from training.fieldofview import train
    from training.fieldofview.search import search
    torch.set_num_threads(1)
    saved, save = 0, train.save_checkpoint
    def save_and_die(*arguments):
        global saved
        save(*arguments)
        saved += 1
        if saved == 9:
            print("saved", flush=True)
            os.kill(os.getpid(), 9)
    train.save_checkpoint = save_and_die
    search(DATA, sys.argv[1], BASE, 6, **LIMITS)
"""


def test_kill_9_loses_only_the_unit_that_ran(tmp_path):
    whole = search(DATA, tmp_path / "whole.journal", BASE, 6, **LIMITS)
    here = Path(__file__).parent
    worker = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WORKER), tmp_path / "killed.journal", here],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert worker.returncode == -signal.SIGKILL and worker.stdout == "saved\n", worker.stderr
    checkpoints = {p: p.stat().st_mtime_ns for p in tmp_path.glob("killed.trials/*/checkpoint.safetensors")}
    resumed = search(DATA, tmp_path / "killed.journal", BASE, 6, **LIMITS)
    assert trail(resumed) == trail(whole)
    assert any(p.stat().st_mtime_ns == at for p, at in checkpoints.items())  # what was finished is not trained again


def test_what_diverges_is_a_failure_with_its_reason_and_leaves_no_folder(tmp_path):
    objective = Objective(DATA, tmp_path, replace(BASE, architecture=replace(BASE.architecture, normalised=False)))
    wild = SMALL | {"learning_rate": 1e30}
    with pytest.raises(DivergenceError, match="learning rate"):
        objective(Suggestion(wild, 0, 4))
    assert not list(tmp_path.iterdir())


def test_a_network_that_went_astray_is_no_worse_than_one_that_knows_nothing(tmp_path):
    loss = Objective(DATA, tmp_path, BASE)(Suggestion(SMALL | {"learning_rate": 10.0}, 0, 4))
    assert loss == pytest.approx(np.log(6))
    assert "validation_loss" in (tmp_path / "trial-00000" / "curves.csv").read_text()  # what it was is there
    assert Objective(DATA, tmp_path, BASE)(Suggestion(SMALL, 1, 4)) < loss


def test_a_unit_that_takes_too_long_is_a_failure(tmp_path):
    with pytest.raises(TimeoutError, match="more than 0 s"):
        Objective(DATA, tmp_path, BASE, most_seconds=0)(Suggestion(SMALL, 0, 4))


def test_failures_are_kept_with_their_reason(tmp_path, monkeypatch):
    train = module.train

    def failing(data, folder, plan, *arguments, **named):
        if plan.batch == 256:
            raise RuntimeError("not enough memory: you tried to allocate 9 bytes")
        return train(data, folder, plan, *arguments, **named)

    monkeypatch.setattr(module, "train", failing)
    study = search(DATA, tmp_path / "s.journal", BASE, 10, method="random", **LIMITS)
    failed = [o for o in study.observations if o.failed]
    assert failed and all(o.configuration["batch"] == 256 for o in failed)
    assert failed[0].reason == "RuntimeError: not enough memory: you tried to allocate 9 bytes"
    assert f"{len(failed)} failed" in describe(study)
    assert f"trial {study.best.trial}" in describe(study)


def test_a_cancelled_search_stops_at_once_and_its_training_goes_on_later(tmp_path):
    job = Job(lambda fraction, text: job.cancel() if fraction else None)  # at the second training
    with pytest.raises(Cancelled):
        search(DATA, tmp_path / "s.journal", BASE, 6, job=job, **LIMITS)
    whole = search(DATA, tmp_path / "whole.journal", BASE, 6, **LIMITS)
    assert trail(search(DATA, tmp_path / "s.journal", BASE, 6, **LIMITS)) == trail(whole)


def test_a_study_in_a_database_needs_a_folder_for_its_trials(tmp_path):
    with pytest.raises(ValueError, match="--trials"):
        search(DATA, f"sqlite:///{tmp_path}/s.db", BASE, 1)
    study = search(DATA, f"sqlite:///{tmp_path}/s.db", BASE, 1, trials=tmp_path / "here", **LIMITS)
    assert len(study.observations) == 1 and (tmp_path / "here" / "trial-00000").is_dir()
