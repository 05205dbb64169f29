"""SimpleITK made safe: arrays without a copy, RAS instead of LPS, `ImageError` for its errors, a `Job` for its work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name its own documentation uses)

from .job import Cancelled, Job
from .words import _, named

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK and DICOM are LPS; everything that leaves this library is RAS

DTYPES = {  # SimpleITK's pixel types with one real number a voxel
    sitk.sitkInt8: np.dtype(np.int8),
    sitk.sitkUInt8: np.dtype(np.uint8),
    sitk.sitkInt16: np.dtype(np.int16),
    sitk.sitkUInt16: np.dtype(np.uint16),
    sitk.sitkInt32: np.dtype(np.int32),
    sitk.sitkUInt32: np.dtype(np.uint32),
    sitk.sitkInt64: np.dtype(np.int64),
    sitk.sitkUInt64: np.dtype(np.uint64),
    sitk.sitkFloat32: np.dtype(np.float32),
    sitk.sitkFloat64: np.dtype(np.float64),
}
PIXEL_TYPES = {dtype: pixel_type for pixel_type, dtype in DTYPES.items()}


class ImageError(ValueError):
    """A volume cannot be used; the message says what was given, what is wrong with it and what to do."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's warnings off the terminal: where they matter, the volume is refused with an `ImageError` instead."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def file_name(path: Path) -> str:
    """`path` as SimpleITK takes it: a name that is not UTF-8 would end the process. Raises `ImageError`."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        shown = str(path).encode("utf-8", "replace").decode()
        raise ImageError(named(shown, _("its name is not valid UTF-8; rename it."))) from None
    return str(path)


def reason(error: BaseException) -> str:
    """The sentence in an exception of SimpleITK that says what happened, without its source lines and addresses."""
    text = re.split(r"ITK ERROR:|sitk::ERROR:", str(error))[-1]
    text = re.sub(r"\w*\(0x[0-9a-f]+\):|\S+\.[hc]xx:\d+:", "", text)
    return " ".join(text.split()) or type(error).__name__


def execute(process: Any, job: Job, text: str, *images: sitk.Image) -> sitk.Image:
    """Run a SimpleITK filter or reader that reports to `job` and stops when the job is cancelled.

    Raises:
        Cancelled: the job was cancelled.
        RuntimeError: SimpleITK's own, see `reason`.
    """

    def follow() -> None:
        try:
            job.progress(process.GetProgress(), text)
        except Cancelled:  # an exception must not cross ITK's C++ frames
            process.Abort()

    job.progress(0.0, text)
    process.AddCommand(sitk.sitkProgressEvent, follow)
    try:
        with quiet():
            result = process.Execute(*images)
    except RuntimeError:
        job.progress(1.0, text)  # an aborted filter raises: that is a cancellation, no error
        raise
    finally:
        process.RemoveAllCommands()
    job.progress(1.0, text)
    return result


def chosen_frame(frame: int | None, frames: int, what: str) -> int:
    """The frame to take of `what`; raises `ImageError` if none is chosen of several, or one that is not there."""
    if frame is None and frames > 1:
        raise ImageError(
            named(
                what,
                _("{frames} frames (4D); choose one with the option 'frame', 0 to {last}.").format(
                    frames=frames, last=frames - 1
                ),
            )
        )
    if not 0 <= (frame or 0) < frames:
        raise ImageError(
            named(
                what,
                _("there is no frame {frame}; the number of frames is {frames}, counted from 0.").format(
                    frame=frame, frames=frames
                ),
            )
        )
    return frame or 0


class _Buffer:
    """The memory of a SimpleITK image for `numpy.asarray`: the array keeps it, and so the image, alive."""

    def __init__(self, image: sitk.Image):
        image.MakeUnique()
        interface = sitk.GetArrayViewFromImage(image).__array_interface__
        self._image = image
        # SimpleITK marks views read-only because others may share the image; this one is ours alone.
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def array_of(image: sitk.Image) -> np.ndarray:
    """The voxels (k, j, i) of a SimpleITK image, not copied and writable; the caller gives the image away."""
    return np.asarray(_Buffer(image))


def geometry_of(ijk_to_ras: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Spacing in mm (3,), direction (9,) and origin in mm (3,) for SimpleITK (LPS); the inverse of `ijk_to_ras_of`."""
    matrix = LPS_TO_RAS @ ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    direction = np.round(matrix[:3, :3] / spacing, 12)  # denormal numbers make VNL's inverse of it wrong
    return spacing.tolist(), direction.ravel().tolist(), matrix[:3, 3].tolist()


def ijk_to_ras_of(image: sitk.Image) -> np.ndarray:
    """The (4, 4) matrix from voxel index (i, j, k) to RAS mm of a three-dimensional SimpleITK image."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ matrix
