"""Stored learning curves: models that were really trained, so that searches are compared without training again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing

from .listed import ListedSpace
from .method import Method, Observation, Suggestion
from .space import Configuration, Space


@dataclass(frozen=True)
class CurveTable:
    """Learning curves of all n configurations of a finite space, in the order of `space.enumerate()`.

    loss: (n, R) float64, on held-out images after each of R resources; NaN from where a training diverged. error: the
    same of wrongly classified shares. seconds: (n,) float64, of a processor, for one resource.
    """

    space: Space
    loss: np.ndarray
    error: np.ndarray
    seconds: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "_rows", {self.space.key(c): n for n, c in enumerate(self.space.enumerate())})
        if not len(self._rows) == len(self.loss) == len(self.error) == len(self.seconds):
            raise ValueError(
                f"The space has {len(self._rows)} configurations, the table {len(self.loss)} curves: they do not fit."
            )

    @property
    def resources(self) -> int:
        """R, the resource of a full training."""
        return self.loss.shape[1]

    @property
    def final(self) -> np.ndarray:
        """(n,) float64: losses of the full trainings; NaN where one failed."""
        return self.loss[:, -1]

    def row(self, configuration: Configuration) -> int:
        """The place of a configuration. Raises KeyError if it is none of the space's."""
        return self._rows[self.space.key(configuration)]

    def train(self, suggestion: Suggestion) -> Observation:
        """What training as suggested would give; the cost is of the whole training, wherever it went on from."""
        row = self.row(suggestion.configuration)
        resource = self.resources if suggestion.resource is None else int(suggestion.resource)
        return Observation(
            suggestion.configuration,
            suggestion.trial,
            float(self.loss[row, resource - 1]),
            suggestion.resource,
            float(self.seconds[row] * resource),
        )

    def replay(self, method: Method, budget: float = np.inf, workers: int = 1) -> Iterator[tuple[float, Observation]]:
        """Run a search over the curves, `workers` trials at a time: what was spent, in full trainings, with each
        result. A trial that goes on costs what is new. Ends when the next result would exceed the budget."""
        spent, reached = 0.0, {}
        while suggestions := method.ask(workers):
            for suggestion in suggestions:
                resource = (suggestion.resource or self.resources) / self.resources
                spent += resource - reached.get(suggestion.trial, 0.0)
                reached[suggestion.trial] = resource
                if spent > budget + 1e-9:
                    return
                observation = self.train(suggestion)
                method.tell(observation)
                yield spent, observation


def save_curves(table: CurveTable, path: str | Path) -> None:
    """Write a table, losses as half-precision floats (three digits), errors in 1/65535, without pickle."""
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            space=np.array(json.dumps(table.space.as_json())),
            loss=table.loss.astype(np.float16),
            error=np.round(np.nan_to_num(table.error, nan=1.0) * 65535).astype(np.uint16),
            seconds=table.seconds.astype(np.float32),
        )


def load_curves(path: str | Path) -> CurveTable:
    """Read a table. Raises ValueError where the file is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            described = json.loads(str(file["space"]))
            space = (ListedSpace if "configurations" in described else Space).from_json(described)
            loss, seconds = file["loss"].astype(float), file["seconds"].astype(float)
            error = np.where(np.isnan(loss), np.nan, file["error"] / 65535)
    except (KeyError, OSError, ValueError) as reason:
        raise ValueError(f"{path} is no table of learning curves: {reason}") from reason
    return CurveTable(space, loss, error, seconds)
