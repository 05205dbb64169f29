"""The field-of-view classifier: a volume in, its regions and their boundaries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ..bundle import Bundle, BundleError, read_bundle
from ..image import Image
from ..job import Job
from ..words import _
from .network import Architecture, build
from .regions import CLASSES, Decision, DecisionModel, decide
from .slices import SliceInputs, slice_inputs

if TYPE_CHECKING:
    import torch

TASK = "mr-field-of-view"
SIDE_UNIT_MM = 500.0  # the second input channel is the slice's side in this unit
BATCH = 32


@dataclass(frozen=True, eq=False)
class FieldOfView:
    """The answer for one volume.

    positions_mm: (N,) S of each axial slice, inferior to superior. tissue: (N,) bool, False where a slice shows only
    air.
    probabilities: (N, 6) the network's output, classes in the order of `regions.CLASSES`. decision: regions and
    boundaries.
    """

    positions_mm: np.ndarray
    tissue: np.ndarray
    probabilities: np.ndarray
    decision: Decision


def network_batch(images: torch.Tensor, side_mm: torch.Tensor | float, channels: int) -> torch.Tensor:
    """The network's input (batch, channels, size, size) from slices (batch, 1, size, size) in [0, 1].

    With two channels the second is the physical side of the slice, (batch,) or one for all, in units of 500 mm:
    without it, a knee that fills its slice and a trunk that fills its own are the same size.
    """
    if channels == 1:
        return images
    import torch

    side = torch.as_tensor(side_mm, dtype=images.dtype, device=images.device) / SIDE_UNIT_MM
    return torch.cat([images, side.reshape(-1, 1, 1, 1).expand_as(images)], 1)


class Classifier:
    """A deployed field-of-view model.

    Args:
        architecture: the network. weights: its state dict. decision: parameters of the region decision.
    """

    def __init__(self, architecture: Architecture, weights: Mapping, decision: DecisionModel):
        self.architecture, self.decision = architecture, decision
        self.network = build(architecture)
        try:
            self.network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, strict=False)
            missing = set(dict(self.network.named_parameters())) - set(weights)
        except RuntimeError as error:
            raise BundleError(
                _("The weights do not fit the architecture {architecture}: {error}").format(
                    architecture=asdict(architecture), error=error
                )
            ) from None
        if missing:
            raise BundleError(
                _("The weights lack {missing}; the bundle is incomplete, deploy the model again.").format(
                    missing=sorted(missing)
                )
            )
        self.network.eval()

    @classmethod
    def load(cls, bundle_dir: str | Path | Bundle) -> Classifier:
        """The classifier of a bundle. Raises BundleError if it is broken or made for another task."""
        bundle = bundle_dir if isinstance(bundle_dir, Bundle) else read_bundle(bundle_dir)
        manifest = bundle.manifest
        if manifest.get("task") != TASK:
            raise BundleError(
                _("The bundle's task is {task}; the field of view needs a bundle for {expected}.").format(
                    task=repr(manifest.get("task")), expected=repr(TASK)
                )
            )
        if tuple(manifest["input"].get("classes", ())) != CLASSES:
            raise BundleError(
                _("The bundle's classes are {given}; expected {expected}.").format(
                    given=manifest["input"].get("classes"), expected=list(CLASSES)
                )
            )
        try:
            return cls(
                Architecture(**manifest["architecture"]), bundle.weights(), DecisionModel(**manifest["decision"])
            )
        except (TypeError, ValueError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(
                _("The bundle's model.json describes no field-of-view model: {error}").format(error=error)
            ) from None

    def probabilities(self, inputs: SliceInputs, job: Job = Job()) -> np.ndarray:
        """(N, 6) class probabilities of the slices."""
        import torch

        out = np.empty((len(inputs.images), len(CLASSES)))
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            for first in range(0, len(out), BATCH):
                job.progress(first / len(out), _("classifying slices"))
                images = torch.from_numpy(inputs.images[first : first + BATCH])[:, None].to(device)
                scores = self.network(network_batch(images, inputs.side_mm, self.architecture.channels))
                out[first : first + BATCH] = torch.softmax(scores.cpu().double(), 1).numpy()
        return out

    def classify(
        self,
        image: Image,
        *,
        fixed: Mapping[str, float] = MappingProxyType({}),
        job: Job = Job(),
    ) -> FieldOfView:
        """Which regions `image` shows and where each begins.

        Args:
            image: an MR volume in any orientation.
            fixed: boundaries the user knows, such as {"chest/abdomen": -120.0} in mm along S; the others are decided
            around them.
        """
        inputs = slice_inputs(image, self.architecture.input_size, job.part(0.0, 0.5))
        probabilities = self.probabilities(inputs, job.part(0.5, 1.0))
        decision = decide(probabilities, inputs.positions_mm, inputs.tissue, **asdict(self.decision), fixed=fixed)
        return FieldOfView(inputs.positions_mm, inputs.tissue, probabilities, decision)
