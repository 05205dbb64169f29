"""The network's process: python -m SlicerHPOLib.worker FOLDER answers the one question that lies in FOLDER.

Networks run here and not in the process that shows the scene: it stays responsive, work can be stopped at any moment,
and whatever goes wrong with a graphics card or with memory ends here. `background` is the side that asks.

    request.json, voxels.npy    the question, as `segment_request` or `classify_request` make it
    standard output             {"fraction": 0.3, "text": ...} lines as the work goes on
    result.json, result.npz     {"answer": {...}, "warnings": [...]} and its arrays, or {"error": ..., "log": ...}

Texts are `packed`, so that they still can be translated where they are shown.

No pickle is read or written, and voxels are mapped from the file, not copied.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .bundle import find_bundle, read_bundle
from .files import replacing
from .image import Image
from .job import Job
from .kidney.request import AUTO
from .words import _, named, packed

if TYPE_CHECKING:
    import torch

    from .fieldofview.classification import ClassifiedSlices
    from .kidney.session import FoundKidney

REQUEST, VOXELS, ANSWER, ARRAYS = "request.json", "voxels.npy", "result.json", "result.npz"


@dataclass(frozen=True, eq=False)
class Request:
    """A question about a volume. task: a key of `TASKS`. options: its arguments, JSON values."""

    task: str
    image: Image
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back. values: JSON values. arrays: by name. warnings: what the user should know about the way there."""

    values: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()


def segment_request(
    image: Image,
    *,
    model: str,
    method: str,
    population: str = AUTO,
    seed_point_mm: tuple[float, float, float] | None = None,
) -> Request:
    """Where is the kidney? Arguments as of `KidneySegmenter`; `found_kidney` reads the answer."""
    seed = None if seed_point_mm is None else [float(x) for x in seed_point_mm]
    options = {"model": str(model), "method": method, "population": population, "seed_point_mm": seed}
    return Request("segment", image, options)


def found_kidney(image: Image, answer: Answer) -> FoundKidney:
    """The answer to a `segment_request` for this image."""
    from .kidney.session import FoundKidney

    return FoundKidney.restored(image, answer.values, answer.arrays)


def classify_request(image: Image, *, model: str) -> Request:
    """Which part of the body is it? `classified_slices` reads the answer."""
    return Request("classify", image, {"model": str(model)})


def classified_slices(image: Image, answer: Answer) -> ClassifiedSlices:
    """The answer to a `classify_request` for this image."""
    from .fieldofview.classification import ClassifiedSlices
    from .fieldofview.regions import DecisionModel

    return ClassifiedSlices(**answer.arrays, model=DecisionModel(**answer.values["decision"]), name=image.name)


def _segment(image: Image, options: Mapping[str, Any], job: Job) -> Answer:
    from .kidney.segmenter import KidneySegmenter

    segmenter = KidneySegmenter.load(options["model"])
    asked = {name: options[name] for name in ("method", "population", "seed_point_mm")}

    def find(job: Job) -> FoundKidney:
        return segmenter.find(image, **asked, job=job)

    found, warnings = on_best_device(segmenter.network, find, job.part(0.2, 1.0))
    return Answer(found.description, found.arrays, warnings)


def _classify(image: Image, options: Mapping[str, Any], job: Job) -> Answer:
    from .fieldofview.classifier import Classifier
    from .fieldofview.slices import slice_inputs

    classifier = Classifier.load(read_bundle(find_bundle(options["model"])))
    inputs = slice_inputs(image, classifier.architecture.input_size, job.part(0.2, 0.6))

    def classify(job: Job) -> np.ndarray:
        return classifier.probabilities(inputs, job)

    probabilities, warnings = on_best_device(classifier.network, classify, job.part(0.6, 1.0))
    arrays = {"positions_mm": inputs.positions_mm, "tissue": inputs.tissue, "probabilities": probabilities}
    return Answer({"decision": asdict(classifier.decision)}, arrays, warnings)


TASKS: dict[str, Callable[[Image, Mapping[str, Any], Job], Answer]] = {"segment": _segment, "classify": _classify}


def on_best_device(network: torch.nn.Module, work: Callable[[Job], Any], job: Job) -> tuple[Any, tuple[str, ...]]:
    """What `work` gives with the network on the graphics card, or where that fails or is missing, on the processor.

    Returns:
        The result, and what the user should know about it.
    """
    import torch

    if not torch.cuda.is_available():
        return work(job), ()
    try:
        network.to("cuda")
        return work(job), ()
    except torch.cuda.OutOfMemoryError:
        why = _("The graphics card has not enough free memory")
    except RuntimeError as error:  # a card or driver that this torch does not support
        why = _("The graphics card cannot be used ({error})").format(error=str(error).splitlines()[0])
    network.to("cpu")
    torch.cuda.empty_cache()
    return work(job), (named(why, _("it was computed on the processor, which takes longer.")),)


def read_request(folder: Path) -> Request:
    """The question in a folder; its voxels stay on disk until they are looked at."""
    given = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    voxels = np.load(folder / VOXELS, mmap_mode="r", allow_pickle=False)
    return Request(given["task"], Image(voxels, given["ijk_to_ras"], given["name"]), given["options"])


def main(folder: Path) -> int:
    """Answers the question in `folder`; 0 if it could be answered, 1 if the answer is an error."""

    def report(fraction: float, text: str) -> None:
        print(json.dumps({"fraction": fraction, "text": packed(text)}), flush=True)

    try:
        request = read_request(folder)
        job = Job(report)
        job.progress(0.0, _("reading the model"))
        answer = TASKS[request.task](request.image, request.options, job)
        np.savez(folder / ARRAYS, **answer.arrays)
        content = {"answer": dict(answer.values), "warnings": list(map(packed, answer.warnings))}
    except Exception as error:
        content = {"error": packed(message_of(error)), "log": traceback.format_exc()}
    with replacing(folder / ANSWER) as temporary:  # its being there says that all else is
        temporary.write_text(json.dumps(content), encoding="utf-8")
    return int("error" in content)


def message_of(error: Exception) -> str:
    """What to tell the user of an error that ended the work."""
    if isinstance(error, ImportError):
        return _("A Python package is missing: {error}. Install the extension's packages and try again.").format(
            error=error
        )
    if isinstance(error, MemoryError):
        return _("There is not enough memory for this volume. Close other programs, or crop the volume, and try again.")
    if isinstance(error, ValueError) and type(error).__module__.startswith(__package__):
        return str(error)  # one of the library's own, written for the user
    return _("The computation failed: {kind}: {error}").format(kind=type(error).__name__, error=error)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
