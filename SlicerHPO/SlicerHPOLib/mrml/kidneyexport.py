"""Files of a kidney in the scene: the mask, and the report that the batch command writes too."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from .. import __version__
from ..image import Image
from ..kidney.results import KidneyResult, write_csv, write_json
from ..kidney.segmentation import KidneySegmentation
from ..resultfile import ResultsError
from ..segmentation import KIDNEY, write_segmentation
from . import kidney
from .volumes import NodeError, unchecked_image_of

_REPORTS = {".csv": write_csv, ".json": write_json}


def export_mask(segmentation_node: slicer.vtkMRMLSegmentationNode, path: str | os.PathLike) -> None:
    """Writes the shape as it is in the scene, with what the user changed by other means, where it lies in the world.

    Args:
        path: ends in .seg.nrrd or .nii.gz.

    Raises:
        NodeError: the volume is gone, or the shape was deleted.
        ImageError: another ending, an empty shape, or a file that cannot be written.
    """
    volume_node = kidney.volume_of(segmentation_node)
    if segmentation_node.GetSegmentation().GetSegment(KIDNEY.identifier) is None:
        raise NodeError(
            _("{name} has no kidney any more: segment the volume again.").format(name=segmentation_node.GetName())
        )
    image = unchecked_image_of(volume_node)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, KIDNEY.identifier, volume_node)
    segment = kidney.SEGMENTS[kidney.side_of(segmentation_node)]
    write_segmentation(Image(mask, image.ijk_to_ras, image.name), path, segment)


def export_report(
    segmentation_node: slicer.vtkMRMLSegmentationNode, result: KidneySegmentation, path: str | os.PathLike
) -> None:
    """Writes measures, points, warnings and what they rest on.

    Args:
        path: ends in .csv or .json.

    Raises:
        NodeError: the volume is gone.
        ResultsError: another ending, or a file that cannot be written.
    """
    write = _REPORTS.get(Path(path).suffix.lower())
    if write is None:
        raise ResultsError(_("{path}: a report is written as .csv or .json.").format(path=path))
    write(Path(path), [_blank(segmentation_node, result).answered(result)])


def _blank(segmentation_node: slicer.vtkMRMLSegmentationNode, result: KidneySegmentation) -> KidneyResult:
    volume_node, origin = kidney.volume_of(segmentation_node), kidney.origin_of(segmentation_node)
    storage = volume_node.GetStorageNode()
    path = Path(storage.GetFileName() or "") if storage is not None else Path()
    state = path.stat() if path.is_file() else None
    return KidneyResult(
        path=str(path) if state else volume_node.GetName(),
        series=None,
        frame=None,
        bytes=state.st_size if state else 0,
        modified=datetime.fromtimestamp(state.st_mtime, timezone.utc).isoformat() if state else "",
        software=f"SlicerHPO {__version__}",
        method=result.method,
        points=result.points.points,
        **asdict(origin),
    )
