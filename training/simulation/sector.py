"""The field of view of a 3D ultrasound probe: beams by range and two angles, and scan conversion to voxels.

A curved array of radius `radius_mm` fires in a plane, at angles theta along its arc; the plane turns by phi about an
axis `swing_mm` behind the face (a motor, or a curved matrix). Both radii 0 is a phased matrix array, whose beams leave
one point. The probe's frame, in mm from the middle of its face: x lateral, y elevation, z depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from .randomisation import between

RANGES, BEAMS = 288, 96  # samples along a beam, beams along each angle
MARGIN = 4  # beams beyond each edge of the picture, whose echoes reach into it
FINEST_MM = 1.0  # voxels are averaged from points at most this far apart


@dataclass(frozen=True)
class Sector:
    """Shape of the field of view."""

    depth_mm: float
    radius_mm: float
    swing_mm: float
    opening_deg: float = between(58, 95)  # along the array
    swing_deg: float = between(45, 90)  # across it

    @property
    def step_mm(self) -> float:
        """Distance of samples along a beam."""
        return self.depth_mm / RANGES

    @property
    def sag_mm(self) -> float:
        """How far the ends of the array lie behind its middle; `swing_mm` is no less, or beams would cross."""
        return self.radius_mm * (1 - np.cos(np.deg2rad(self.opening_deg) / 2))

    @property
    def ranges_mm(self) -> np.ndarray:
        """(RANGES,) from the face along a beam."""
        return (np.arange(RANGES) + 0.5) * self.step_mm

    @property
    def angles(self) -> tuple[np.ndarray, np.ndarray]:
        """theta and phi (BEAMS,) each, in rad, with `MARGIN` beams beyond the opening on both sides."""
        spread = np.linspace(-0.5, 0.5, BEAMS) * (BEAMS - 1) / (BEAMS - 1 - 2 * MARGIN)
        return np.deg2rad(self.opening_deg) * spread, np.deg2rad(self.swing_deg) * spread

    @property
    def box_mm(self) -> np.ndarray:
        """(2, 3) lowest and highest x, y, z of the field of view."""
        theta, phi = np.deg2rad([self.opening_deg, self.swing_deg]) / 2
        x = (self.depth_mm + self.radius_mm) * np.sin(theta)
        y = (self.depth_mm + self.swing_mm) * np.sin(phi)
        z = (self.swing_mm - self.sag_mm) * np.cos(phi) - self.swing_mm
        return np.array([[-x, -y, z], [x, y, self.depth_mm]])

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z (RANGES, BEAMS, BEAMS) float32 of all samples: range, theta, phi."""
        theta, phi = (a.astype(np.float32) for a in self.angles)
        return self.points_of(self.ranges_mm.astype(np.float32)[:, None, None], theta[:, None], phi)

    def points_of(self, r, theta, phi) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z in mm of range in mm, theta and phi in rad; the inverse of `beams_of`."""
        x = (r + self.radius_mm) * np.sin(theta)
        down = (r + self.radius_mm) * np.cos(theta) - self.radius_mm + self.swing_mm
        y, z = down * np.sin(phi), down * np.cos(phi) - self.swing_mm
        return np.broadcast_to(x, y.shape), y, z

    def arcs_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance (RANGES,) of neighbouring beams along theta and phi, at every range, in the middle of the sector."""
        theta, phi = self.angles
        return (self.ranges_mm + self.radius_mm) * np.ptp(theta) / (BEAMS - 1), (
            self.ranges_mm + self.swing_mm
        ) * np.ptp(phi) / (BEAMS - 1)

    def beams_of(self, x, y, z) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Range in mm, theta and phi in rad of points in the probe's frame; the inverse of `points_of`."""
        down = np.hypot(y, z + self.swing_mm) - self.swing_mm
        phi = np.arctan2(y, z + self.swing_mm)
        return (*self._in_plane(x, down), phi)

    def contains(self, x, y, z) -> np.ndarray:
        """Mask of the points in the field of view."""
        r, theta, phi = self.beams_of(x, y, z)
        inside = (r >= 0) & (r <= self.depth_mm)
        return (
            inside
            & (np.abs(theta) <= np.deg2rad(self.opening_deg) / 2)
            & (np.abs(phi) <= np.deg2rad(self.swing_deg) / 2)
        )

    def _in_plane(self, x, down) -> tuple[np.ndarray, np.ndarray]:
        behind = down + self.radius_mm
        return np.hypot(x, behind) - self.radius_mm, np.arctan2(x, behind)

    def scan_convert(self, echoes: np.ndarray, x, y, z, spacing_mm: float) -> np.ndarray:
        """Voxels from samples: bilinear interpolation in the plane of the array, then across planes, area average.

        Both steps are what a scanner does, and each is one sparse matrix, because all planes share the first and all
        x share the second.

        Args:
            echoes: (RANGES, BEAMS, BEAMS) float32, grey levels.
            x, y, z: centres of the voxels along each axis of the probe's frame. spacing_mm: their distance.

        Returns:
            (z, y, x) float32; 0 outside the field of view, voxels on its border in part.
        """
        parts = max(1, int(np.ceil(spacing_mm / FINEST_MM)))
        finer = ((np.arange(parts) + 0.5) / parts - 0.5) * spacing_mm
        fine = spacing_mm / parts
        xs, ys, zs = (np.add.outer(axis, finer).ravel() for axis in (x, y, z))
        downs = np.arange(self.box_mm[0, 2] - fine, self.depth_mm + 2 * fine, fine)
        theta, phi = self.angles
        beam = (BEAMS - 1) / np.ptp(theta), (BEAMS - 1) / np.ptp(phi)

        r, t = self._in_plane(*np.meshgrid(xs, downs))
        seen = (r >= 0) & (r <= self.depth_mm) & (np.abs(t) <= np.deg2rad(self.opening_deg) / 2)
        weights = _bilinear(r / self.step_mm - 0.5, (t - theta[0]) * beam[0], (RANGES, BEAMS), seen)
        planes = (weights @ echoes.reshape(RANGES * BEAMS, BEAMS)).reshape(len(downs), len(x), parts, BEAMS).mean(2)

        across, along = np.meshgrid(ys, zs)
        down = np.hypot(across, along + self.swing_mm) - self.swing_mm
        p = np.arctan2(across, along + self.swing_mm)
        seen = (np.abs(p) <= np.deg2rad(self.swing_deg) / 2) & (down >= downs[0]) & (down <= downs[-1])
        weights = _bilinear((down - downs[0]) / fine, (p - phi[0]) * beam[1], (len(downs), BEAMS), seen)
        stacked = np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(len(downs) * BEAMS, len(x))
        return (weights @ stacked).reshape(len(z), parts, len(y), parts, len(x)).mean((1, 3))


def _bilinear(row: np.ndarray, column: np.ndarray, shape: tuple[int, int], seen: np.ndarray) -> csr_matrix:
    """(points, rows * columns) weights of bilinear interpolation at fractional indices; no weight where not `seen`.

    Indices are moved into the grid.
    """
    at = np.flatnonzero(seen)
    row = np.clip(row.ravel()[at], 0, shape[0] - 1.001)
    column = np.clip(column.ravel()[at], 0, shape[1] - 1.001)
    i, j = row.astype(np.int32), column.astype(np.int32)
    di, dj = row - i, column - j
    first = i * shape[1] + j
    indices = np.stack([first, first + 1, first + shape[1], first + shape[1] + 1], 1).ravel()
    weights = np.stack([(1 - di) * (1 - dj), (1 - di) * dj, di * (1 - dj), di * dj], 1).ravel().astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(np.where(seen.ravel(), 4, 0))]).astype(np.int32)
    return csr_matrix((weights, indices, starts), shape=(seen.size, shape[0] * shape[1]))
