"""A local Ray: trainings at the same time, one of whose workers is killed."""

import os
import signal
import sys
import time
from functools import partial

import pytest

from training.search import ray_engine
from training.search.hyperband import Hyperband
from training.search.ray_engine import RayEngine
from training.search.space import Continuous, Space
from training.search.study import Study

LINE = Space((Continuous("x", 0, 1),))


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="pip install ray"):
        RayEngine(lambda suggestion: 1.0, 2)


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_a_search_outlives_its_workers_and_is_the_same(ray, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "RETRIES", 1)
    deaths = tmp_path / "deaths"
    deaths.mkdir()

    def train(suggestion):
        begun = tmp_path / f"{suggestion.trial}-{suggestion.resource}"  # a checkpoint, as it were
        if suggestion.trial == 1 and not begun.exists():
            begun.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if suggestion.trial == 2:  # kills whatever worker takes it
            (deaths / str(time.time_ns())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        begun.touch()
        return (suggestion.configuration["x"] - 0.3) ** 2 + 1 / suggestion.resource

    def formula(suggestion):
        if suggestion.trial == 2:
            raise RuntimeError
        return (suggestion.configuration["x"] - 0.3) ** 2 + 1 / suggestion.resource

    study = Study(tmp_path / "ray.log", "s", LINE, Hyperband(LINE, 3))
    study.run(train, 5, engine=partial(RayEngine, workers=2))
    alone = Study(tmp_path / "alone.log", "s", LINE, Hyperband(LINE, 3))
    alone.run(formula, 5)
    results = {(o.trial, o.resource): o for o in study.observations}
    assert len(results) == 5 and (tmp_path / "1-1").exists()
    assert results[2, 1].failed and "its worker died" in results[2, 1].reason
    assert len(list(deaths.iterdir())) == 2
    expected = {(o.trial, o.resource): o.loss for o in alone.observations}
    assert {key: expected[key] for key in results if key in expected} == {
        key: o.loss for key, o in results.items() if key in expected
    }
    assert {(0, 1), (1, 1)} < results.keys()
