"""Slabs: what of a volume lies between two planes of constant S, as a closed surface and as a volume of its own.

A volume is a box, maybe oblique to the body. The planes are axial in the world, so a slab is a convex polyhedron.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from ..image import Image
from .scene import beside
from .volumes import NodeError, image_of, to_world, volume_node_of

_TOLERANCE = 1e-6  # mm or voxels: what rounding may do
_THIN_MM = 1e-3
_CORNERS = np.array(list(product((0, 1), repeat=3)))
_EDGES = [(a, b) for a, b in combinations(range(8), 2) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1]


def corners(image: Image, from_mm: float, to_mm: float) -> np.ndarray:
    """(N, 3) RAS mm: the corners of a slab, between two S positions and the outer faces of the image's voxels.

    Raises:
        NodeError: nothing of the image lies between the two.
    """
    box = image.ras_of(_CORNERS * np.array(image.shape[::-1]) - 0.5)
    if min(to_mm, box[:, 2].max()) - max(from_mm, box[:, 2].min()) < _TOLERANCE:
        raise NodeError(
            _("The volume has nothing between {low} and {high} mm along S.").format(
                low=f"{from_mm:g}", high=f"{to_mm:g}"
            )
        )
    found = [corner for corner in box if from_mm <= corner[2] <= to_mm]
    for low, high in ((box[a], box[b]) if box[a, 2] < box[b, 2] else (box[b], box[a]) for a, b in _EDGES):
        found += [
            low + (position - low[2]) / (high[2] - low[2]) * (high - low)
            for position in (from_mm, to_mm)
            if low[2] < position < high[2]
        ]
    return np.array(found)


def section(image: Image, position_mm: float) -> np.ndarray:
    """(N, 3) RAS mm: the corners of the image's cross-section at an S position. Raises as `corners`."""
    return corners(image, position_mm - _THIN_MM, position_mm + _THIN_MM)


def surface(image: Image, from_mm: float, to_mm: float) -> vtk.vtkPolyData:
    """The slab as a closed surface of triangles whose normals look outwards, in RAS mm. Raises as `corners`."""
    from scipy.spatial import ConvexHull

    points = corners(image, from_mm, to_mm)
    hull = ConvexHull(points)
    triangles = hull.simplices.astype(np.int64)
    a, b, c = points[triangles].swapaxes(0, 1)
    inwards = np.einsum("td,td->t", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    triangles[inwards] = triangles[inwards, ::-1]
    result = vtk.vtkPolyData()
    result.SetPoints(vtk.vtkPoints())
    result.GetPoints().SetData(numpy_support.numpy_to_vtk(points, deep=True))
    cells = vtk.vtkCellArray()
    cells.SetData(3, numpy_support.numpy_to_vtkIdTypeArray(triangles.ravel(), deep=True))
    result.SetPolys(cells)
    return result


def cropped(image: Image, from_mm: float, to_mm: float) -> Image:
    """The smallest box of whole voxels that holds all of the image between two S positions. Raises as `corners`."""
    ijk = image.ijk_of(corners(image, from_mm, to_mm))
    first = np.floor(ijk.min(axis=0) + 0.5 + _TOLERANCE).astype(int)
    last = np.ceil(ijk.max(axis=0) - 0.5 - _TOLERANCE).astype(int)
    matrix = image.ijk_to_ras.copy()
    matrix[:3, 3] = image.ras_of(first)
    box = tuple(slice(start, stop + 1) for start, stop in zip(first[::-1], last[::-1], strict=True))
    return Image(image.voxels[box], matrix, image.name)


def crop_volume(
    volume_node: slicer.vtkMRMLScalarVolumeNode, from_mm: float, to_mm: float, name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    """A new volume node: the smallest box of the volume's voxels that holds all of it between two S of the world.

    It is shown as the whole volume is, lies under the same transform and in the same folder. Raises as `corners` and
    `image_of`.
    """
    part = cropped(image_of(volume_node), from_mm, to_mm)
    node = volume_node_of(Image(part.voxels, np.linalg.inv(to_world(volume_node)) @ part.ijk_to_ras), name)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    if (display := volume_node.GetDisplayNode()) is not None:
        node.GetDisplayNode().CopyContent(display)
    beside(node, volume_node)
    return node
