"""A volume once classified: what the network read off its slices, and what a user has since said about boundaries.

The network is asked once. Regions follow from its probabilities and the boundaries that are fixed, in milliseconds and
without a network, so an answer that is kept (`to_json`) can be decided again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from .. import __version__
from ..results import Result
from ..words import _
from .classifier import FieldOfView
from .regions import BODY, DecisionModel, RegionError, decide

BOUNDARIES = tuple(f"{lower}/{upper}" for lower, upper in pairwise(BODY))  # those a body has, inferior to superior
_PLACES = 33  # where a boundary that was not found is tried


@dataclass(frozen=True, eq=False)
class ClassifiedSlices:
    """What the network read off a volume.

    positions_mm: (N,) S of the axial slices, increasing. tissue: (N,) bool. probabilities: (N, 6), see `regions`.
    model: parameters of the decision. name: of the volume.
    """

    positions_mm: np.ndarray
    tissue: np.ndarray
    probabilities: np.ndarray
    model: DecisionModel
    name: str

    def decide(self, fixed: Mapping[str, float] = MappingProxyType({})) -> FieldOfView:
        """Regions and boundaries; `fixed` ones are the user's, see `regions.decide`. Raises `RegionError`."""
        decision = decide(self.probabilities, self.positions_mm, self.tissue, **asdict(self.model), fixed=fixed)
        return FieldOfView(self.positions_mm, self.tissue, self.probabilities, decision)


@dataclass(frozen=True, eq=False)
class Classification:
    """The answer for one volume and what it rests on.

    Attributes:
        slices: what the network read. ijk_to_ras: (4, 4) where the volume lay.
        model, model_sha256: which network.
        fixed: boundaries that the user set, mm along S, by the names in `BOUNDARIES`.
    """

    slices: ClassifiedSlices
    ijk_to_ras: np.ndarray
    model: str
    model_sha256: str
    fixed: Mapping[str, float]

    @cached_property
    def answer(self) -> FieldOfView:
        """Regions and boundaries. Raises RegionError if the fixed boundaries fit no chain of regions."""
        return self.slices.decide(self.fixed)

    def with_boundary(self, name: str, position_mm: float | None) -> Classification:
        """The answer with one boundary fixed at this position along S or, with None, decided by the network again.

        Raises:
            RegionError: the fixed boundaries fit no chain of regions; the message says why.
        """
        fixed = {boundary: position for boundary, position in self.fixed.items() if boundary != name}
        if position_mm is not None:
            fixed[name] = float(position_mm)
        changed = replace(self, fixed=fixed)
        _answer = changed.answer
        return changed

    def room_for(self, name: str) -> tuple[float, float]:
        """Lowest and highest position along S, mm, at which a boundary of `BOUNDARIES` can be fixed.

        The fixed boundaries below and above it need slices with tissue between: one for each region. Where there is no
        room, the two are equal.
        """
        index, s = BOUNDARIES.index(name), self.slices.positions_mm[self.slices.tissue]
        first, last = 1, len(s) - 1  # a boundary at s[n] leaves the slices before n below it
        for other, position in self.fixed.items():
            steps, cut = index - BOUNDARIES.index(other), int(np.searchsorted(s, position))
            if steps > 0:
                first = max(first, cut + steps)
            elif steps < 0:
                last = min(last, cut + steps)
        low, high = s[min(first, len(s) - 1)], s[max(last, 0)]
        return float(low), float(max(low, high))

    def likeliest_place(self, name: str) -> float:
        """Where, of some places with room for it, a boundary fits the network's probabilities best; mm along S.

        Raises:
            RegionError: there is no room for it.
        """
        places = np.linspace(*self.room_for(name), _PLACES)
        return max(places.tolist(), key=lambda place: self.with_boundary(name, place).answer.decision.score_mm)

    def result(self, path: str) -> Result:
        """The answer as a row of tables and files, for a volume that these call `path`."""
        software = f"SlicerHPO {__version__}"
        return Result(path, None, None, 0, "", self.model, self.model_sha256, software, dict(self.fixed)).answered(
            self.answer
        )

    def to_json(self) -> str:
        """The answer as text, without loss."""
        return json.dumps(
            {
                "name": self.slices.name,
                "positions_mm": self.slices.positions_mm.tolist(),
                "tissue": self.slices.tissue.tolist(),
                "probabilities": self.slices.probabilities.tolist(),
                "decision": asdict(self.slices.model),
                "ijk_to_ras": self.ijk_to_ras.tolist(),
                "model": self.model,
                "model_sha256": self.model_sha256,
                "fixed": dict(self.fixed),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Classification:
        """The answer that `to_json` wrote. Raises RegionError if it is none."""
        try:
            given = json.loads(text)
            slices = ClassifiedSlices(
                np.array(given["positions_mm"], float),
                np.array(given["tissue"], bool),
                np.array(given["probabilities"], float),
                DecisionModel(**given["decision"]),
                given["name"],
            )
            matrix = np.array(given["ijk_to_ras"], float).reshape(4, 4)
            return cls(slices, matrix, given["model"], given["model_sha256"], given["fixed"])
        except (ValueError, KeyError, TypeError) as error:
            raise RegionError(
                _("This is no field of view that was stored ({error}): classify the volume again.").format(error=error)
            ) from None
