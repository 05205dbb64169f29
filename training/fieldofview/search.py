"""The search of the field-of-view network over table 2.7 (Bertrand 2019, section 2.6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from SlicerHPOLib.job import Job

from ..search.engine import Engine, InTurn, Train
from ..search.methods import METHODS
from ..search.report_figures import text
from ..search.spaces import table_2_7
from ..search.study import Study
from .dataset import Slices
from .objective import Objective, limits, search_slices
from .train import TrainingPlan

NAME = "fieldofview"
LEARNING_RATES = 7  # the source's total of 34,300 configurations


def search(
    data: str | Path | tuple[Slices, Slices],
    storage: str | Path,
    base: TrainingPlan,
    trainings: int,
    *,
    method: str = "bayesian-hyperband",
    most_weights: int = 3_000_000,
    most_multiply_adds: int = 100_000_000,
    most_seconds: float = 600,
    trials: str | Path | None = None,
    engine: Callable[[Train], Engine] = InTurn,
    job: Job = Job(),
) -> Study:
    """Search until the study has `trainings` results, going on with what it has.

    Args:
        data: a data set's folder, or training and validation slices. storage: a journal file or a database's address,
            see `Study`. base: what all trainings share; its epochs are the resource of a full training, its seed also
            that of the method. method: one of `METHODS`. most_weights, most_multiply_adds: of a network, the latter
            for one slice. most_seconds: of a unit of training. trials: folder of the trainings, beside the journal by
            default. engine: where trainings are done, by default here.

    Raises:
        ValueError: the study was begun with other settings, there are too few slices, or all trainings failed.
    """
    if trials is None:
        if "://" in str(storage):
            raise ValueError("A study in a database needs a folder for its trials (--trials).")
        trials = Path(storage).with_suffix(".trials")
    kept = limits(base, most_weights, most_multiply_adds)
    settings = {
        "method": method,
        "plan": asdict(base),
        "limits": {limit.name: limit.most for limit in kept},
        "data": "given" if isinstance(data, tuple) else json.loads((Path(data) / "dataset.json").read_text()),
    }
    space = table_2_7(LEARNING_RATES)
    study = Study(storage, NAME, space, METHODS[method](space, base.epochs, base.seed, kept), settings)
    if not isinstance(data, tuple):
        data = search_slices(data, base)
    objective = Objective(data, trials, base, most_seconds, job if engine is InTurn else None)
    study.run(objective, trainings, job, engine)
    return study


def describe(study: Study) -> str:
    """What was tried and what is best, to print."""
    results, best = study.observations, study.best
    failed = sum(result.failed for result in results)
    lines = [f"{len(results)} trainings of {len({r.trial for r in results})} configurations, {failed} failed"]
    if best is not None:
        chosen = ", ".join(f"{name} {text(value)}" for name, value in best.configuration.items())
        lines.append(f"best: loss {best.loss:.4f}, trial {best.trial} ({chosen})")
    return "\n".join(lines)
