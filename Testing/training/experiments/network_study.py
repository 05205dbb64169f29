"""A study of field-of-view networks whose losses are a formula, for what is reproduced from studies."""

import math
from dataclasses import asdict

from SlicerHPOLib.fieldofview.network import Architecture

from training.fieldofview.objective import limits
from training.fieldofview.search import NAME
from training.fieldofview.train import TrainingPlan
from training.search.methods import METHODS
from training.search.report import Record, read
from training.search.spaces import table_2_7
from training.search.study import Study

BASE = TrainingPlan(Architecture(48, 2, hidden=(16,)), schedule="constant", epochs=9, epoch_slices=64)
LIMITS = {"weights": 300_000, "multiply-adds of a slice": 20_000_000}


def loss(suggestion) -> float:
    """Least at a learning rate of 1e-3, with many filters, and after long trainings; batches do not matter."""
    c = suggestion.configuration
    if c["learning_rate"] == 0.1:
        raise MemoryError("none left")
    off = abs(math.log10(c["learning_rate"]) + 3)
    return 0.3 + 0.2 * off + 1 / c["filters"] + 0.3 / (suggestion.resource or 9)


def study(path, trainings: int, method: str = "hyperband") -> Record:
    """The study after so many trainings."""
    space = table_2_7(7)
    kept = limits(BASE, *LIMITS.values())
    begun = Study(
        path, NAME, space, METHODS[method](space, 9, 0, kept), {"plan": asdict(BASE), "limits": LIMITS, "data": "none"}
    )
    begun.run(loss, trainings)
    return read(path)
