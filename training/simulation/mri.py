"""Simulated MR volumes of any anatomy, by domain randomisation (Billot et al. 2023, SynthSeg), plane by plane.

A volume is drawn as a whole (subject deformation, scan, contrast, coils, artefacts), so its slices belong together;
any of its axial planes can then be rendered. Everything acts in physical space: deformation and partial volume on the
points that a voxel averages, coil sensitivity and saturation along the scanner's axes, noise and ghosts on the voxel
grid of the acquisition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from SlicerHPOLib.fieldofview.regions import CLASSES, SPINE
from SlicerHPOLib.image import Image

from .anatomy import Anatomy
from .contrast import Contrast, draw_contrast
from .protocols import AXIAL, PROTOCOLS, Scan, supports
from .tissues import LABEL, TISSUES

BRAIN = np.zeros(len(TISSUES), bool)
BRAIN[[LABEL[name] for name in ("brain", "grey_matter", "white_matter", "csf")]] = True
AIR = np.array([t.pd < 0.02 for t in TISSUES])
SUBSAMPLES = 3  # points a voxel averages, spread over its thickness and jittered in its plane
_noise_cube: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Warp:
    """Scanner to body coordinates: x -> matrix (x - centre) + centre + smooth displacement.

    The displacement is a sum of sine waves with `amplitude_mm` (waves, 3), `frequency` (waves, 3) in rad/mm and
    `phase` (waves,); the sum of |amplitude| |frequency| stays below 1/2, which bounds its Jacobian, so the map cannot
    fold.
    """

    matrix: np.ndarray
    centre_mm: np.ndarray
    amplitude_mm: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray

    def __call__(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) scanner mm -> (..., 3) body mm."""
        waves = np.sin(points_mm @ self.frequency.T + self.phase)
        return (points_mm - self.centre_mm) @ self.matrix.T + self.centre_mm + waves @ self.amplitude_mm


def draw_warp(rng: np.random.Generator, centre_mm: np.ndarray, waves: int = 6) -> Warp:
    """A rotation of a few degrees, scaling and shear, and smooth waves of 80 to 500 mm."""
    from scipy.spatial.transform import Rotation

    tilt = rng.normal(0, 4 if rng.random() < 0.8 else 10, 3)
    scale = np.diag(np.exp(rng.normal(0, 0.07) + rng.normal(0, 0.06, 3)))
    shear = np.eye(3) + rng.normal(0, 0.03, (3, 3)) * (1 - np.eye(3))
    direction = rng.normal(size=(waves, 3))
    frequency = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    frequency *= 2 * np.pi / np.exp(rng.uniform(np.log(80), np.log(500), (waves, 1)))
    amplitude = rng.normal(0, 1, (waves, 3)) / np.linalg.norm(frequency, axis=1, keepdims=True)
    steepness = (np.linalg.norm(amplitude, axis=1) * np.linalg.norm(frequency, axis=1)).sum()
    amplitude *= rng.uniform(0.05, 0.45) / steepness
    matrix = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix() @ scale @ shear
    return Warp(matrix, np.asarray(centre_mm, float), amplitude, frequency, rng.uniform(0, 2 * np.pi, waves))


@dataclass(frozen=True, eq=False)
class Artefacts:
    """What the scanner adds to the picture; 0 or None turns a thing off."""

    noise: float  # standard deviation of the complex noise, relative to bright tissue
    noise_blur: float  # standard deviation in voxels of the interpolation that makes noise smooth
    bias: np.ndarray  # (waves, 5): amplitude, frequency (3, in rad over the extent), phase of log sensitivity
    coil: tuple[np.ndarray, float] | None  # position relative to the scan's extent, and reach in mm, of a surface coil
    end_fall_off: float  # loss of signal towards both ends of the body axis
    saturation: tuple[float, float, float] | None  # axis position (in mm of A), width, and depth of a saturation band
    ghost: tuple[float, int, int] | None  # strength, axis, number of ghosts
    wrap: float  # strength of what folds in from outside along the phase axis
    blur: float  # of the image in voxels
    gamma: float
    masked: bool  # background set to 0 by the scanner
    box: np.ndarray | None  # (3, 3) rotation of an oblique volume, whose true axial planes are black outside it
    texture_seed: int


def draw_artefacts(rng: np.random.Generator, scan: Scan) -> Artefacts:
    """Draw artefacts as often as they are met: noise and bias always, ghosts, folding and saturation now and then."""
    from scipy.spatial.transform import Rotation

    waves = np.column_stack(
        [rng.normal(0, rng.uniform(0, 0.35), 4), rng.uniform(-4, 4, (4, 3)), rng.uniform(0, 6.3, 4)]
    )
    coil = None
    if rng.random() < (0.5 if scan.spine else 0.3):
        spot = rng.uniform(-0.5, 0.5, 3)
        spot[1] = -rng.uniform(0.2, 0.7) if scan.spine else rng.choice([-0.6, 0.6])
        coil = (spot * scan.extent_mm, rng.uniform(50, 250))
    saturation = None
    if rng.random() < (0.35 if scan.spine else 0.03):
        saturation = (scan.extent_mm[1] * rng.uniform(0.1, 0.5), rng.uniform(20, 150), rng.uniform(0.5, 0.95))
    tilt = rng.choice([0, 12, 35], p=[0.8, 0.15, 0.05])
    return Artefacts(
        noise=float(np.exp(rng.uniform(np.log(0.004), np.log(0.09)))),
        noise_blur=float(rng.choice([0, rng.uniform(0.3, 1)])),
        bias=waves,
        coil=coil,
        end_fall_off=float(rng.choice([0, rng.uniform(0, 3)])),
        saturation=saturation,
        ghost=(rng.uniform(0.02, 0.25), int(rng.integers(2)), int(rng.integers(2, 5))) if rng.random() < 0.12 else None,
        wrap=rng.uniform(0.3, 1) if rng.random() < 0.08 else 0.0,
        blur=float(rng.choice([0, rng.uniform(0.2, 1.2)])),
        gamma=float(np.exp(rng.normal(0, 0.2))),
        masked=bool(rng.random() < 0.15),
        box=Rotation.from_euler("xyz", rng.normal(0, tilt, 3), degrees=True).as_matrix() if tilt else None,
        texture_seed=int(rng.integers(2**31)),
    )


@dataclass(frozen=True, eq=False)
class Volume:
    """A simulated volume before it is rendered."""

    anatomy: Anatomy
    scan: Scan
    warp: Warp
    contrast: Contrast
    artefacts: Artefacts

    @property
    def positions_mm(self) -> np.ndarray:
        return self.scan.positions_mm

    def classes_at(self, positions_mm: np.ndarray) -> np.ndarray:
        """(N,) index into CLASSES of the axial planes at `positions_mm`, by the landmark rule at the middle of the
        scan."""
        if self.scan.spine:
            return np.full(len(positions_mm), CLASSES.index(SPINE))
        return np.array([CLASSES.index(self.anatomy.landmarks.region_at(s)) for s in self._body_heights(positions_mm)])

    def boundaries_mm(self) -> dict[str, float]:
        """Boundaries that the scan shows, in mm along the scanner's S."""
        fine = np.linspace(self.positions_mm[0], self.positions_mm[-1], 400)
        heights = self._body_heights(fine)
        inside = {
            n: float(np.interp(s, heights, fine))
            for n, s in self.anatomy.landmarks.boundaries_mm.items()
            if heights[0] < s < heights[-1]
        }
        return {} if self.scan.spine else inside

    def _body_heights(self, positions_mm: np.ndarray) -> np.ndarray:
        points = np.tile(self.scan.centre_mm, (len(positions_mm), 1))
        points[:, 2] = positions_mm
        return self.warp(points)[:, 2]


def draw_volume(
    rng: np.random.Generator, anatomies: list[tuple[float, list[Anatomy]]], protocol: str | None = None
) -> Volume:
    """Draw a protocol, an anatomy that has what it is aimed at, and everything else.

    Args:
        anatomies: groups of anatomies with the share of each group; within a group all are equally likely.
        protocol: a key of PROTOCOLS; None draws one.
    """
    while True:
        if protocol is None:
            shares = np.array([p.share for p in PROTOCOLS.values()])
            name = str(rng.choice(list(PROTOCOLS), p=shares / shares.sum()))
        else:
            name = protocol
        able = [
            (share, fit) for share, group in anatomies if (fit := [a for a in group if supports(a, PROTOCOLS[name])])
        ]
        if able:
            break
        if protocol is not None:
            raise ValueError(f"No anatomy given has what a {name!r} scan is aimed at ({PROTOCOLS[name].needs!r}).")
    weights = np.array([share for share, _ in able])
    group = able[rng.choice(len(able), p=weights / weights.sum())][1]
    anatomy = group[rng.integers(len(group))]
    scan = replace(PROTOCOLS[name].draw(rng, anatomy), protocol=name)
    return Volume(anatomy, scan, draw_warp(rng, scan.centre_mm), draw_contrast(rng), draw_artefacts(rng, scan))


def render_planes(
    volume: Volume, positions_mm: np.ndarray, rng: np.random.Generator, longest: int | None = None
) -> tuple[np.ndarray, tuple[float, float], np.ndarray]:
    """Render axial planes of a volume.

    Args:
        positions_mm: (N,) S of the planes. rng: of noise and jitter.
        longest: at most this many pixels a side: finer scans are rendered coarser, as the network will see them.

    Returns:
        planes: (N, rows, columns) float32, rows anterior to posterior, columns right to left; spacing (row, column) in
        mm; and the part (N,) of each plane that is tissue.
    """
    scan, artefacts = volume.scan, volume.artefacts
    spacing = np.array([scan.spacing_mm[1], scan.spacing_mm[0]])
    shape = np.array(scan.shape)
    if longest is not None:
        finest = shape * spacing / longest
        coarser = np.maximum(spacing, finest.max())
        shape = np.maximum(2, np.round(shape * spacing / coarser)).astype(int)
        spacing = scan.extent_mm[[1, 0]] / shape
    rows, columns = (int(n) for n in shape)
    along_a = scan.centre_mm[1] - (np.arange(rows) - (rows - 1) / 2) * spacing[0]
    along_r = scan.centre_mm[0] - (np.arange(columns) - (columns - 1) / 2) * spacing[1]
    positions = np.asarray(positions_mm, float)

    intensity, tissue = _average_tissue(volume, along_r, along_a, positions, spacing, rng)
    if artefacts.wrap:
        # The phase axis is the shorter one; what lies one extent further folds back.
        axis = 0 if scan.extent_mm[1] < scan.extent_mm[0] else 1
        shift = (rows * spacing[0], columns * spacing[1])[axis]
        for side in (-shift, shift):
            moved = (along_r, along_a + side) if axis == 0 else (along_r + side, along_a)
            intensity += artefacts.wrap * _average_tissue(volume, *moved, positions, spacing, rng)[0]
    intensity *= _sensitivity(scan, artefacts, along_r, along_a, positions)
    planes = _acquire(intensity, artefacts, rng)
    if artefacts.box is not None:
        grid = np.stack(np.broadcast_arrays(along_r[None, None], along_a[None, :, None], positions[:, None, None]), -1)
        planes *= (np.abs((grid - scan.centre_mm) @ artefacts.box) <= scan.extent_mm / 2).all(-1)
    return planes, (float(spacing[0]), float(spacing[1])), tissue


def _average_tissue(volume, along_r, along_a, positions, spacing, rng) -> tuple[np.ndarray, np.ndarray]:
    """Mean signal of each voxel (N, rows, columns) over a few points in it, and the part of tissue in each plane."""
    scan = volume.scan
    shape = (len(positions), len(along_a), len(along_r))
    voxel = np.array([spacing[1], spacing[0], scan.thickness_mm if scan.plane == AXIAL else scan.spacing_mm[2]])
    mean, texture = volume.contrast.mean.astype(np.float32), volume.contrast.texture.astype(np.float32)
    noise = _noise_volume()
    offset = np.random.default_rng(volume.artefacts.texture_seed).integers(0, len(noise), 3)
    total, tissue = np.zeros(shape, np.float32), np.zeros(shape[0])
    for step in range(SUBSAMPLES):
        jitter = rng.uniform(-0.5, 0.5, 3) * 0.7
        jitter[scan.plane] = (step + 0.5) / SUBSAMPLES - 0.5
        shift = jitter * voxel
        points = _warped_grid(volume.warp, along_r + shift[0], along_a + shift[1], positions + shift[2])
        labels = volume.anatomy.labels_at(points)
        if scan.brain_only:
            labels = np.where(BRAIN[labels], labels, 0)
        tissue += (~AIR[labels]).mean((1, 2)) / SUBSAMPLES
        # Texture lives in the body: two scales of a tileable noise cube, read at the warped points.
        index = (points / 2.5).astype(np.int32) + offset
        coarse = (points / 11).astype(np.int32) + offset
        size = len(noise) - 1
        grain = noise[index[..., 2] & size, index[..., 1] & size, index[..., 0] & size]
        grain = grain + noise[coarse[..., 2] & size, coarse[..., 1] & size, coarse[..., 0] & size]
        total += mean[labels] * np.maximum(0, 1 + texture[labels] * grain)
    return total / SUBSAMPLES, tissue


def _warped_grid(warp: Warp, along_r, along_a, positions, knots: int = 12) -> np.ndarray:
    """Body coordinates (N, rows, columns, 3) float32 of a grid: the warp is exact on a coarse grid of knots and
    bilinear between."""
    at_r, at_a = (np.linspace(0, len(axis) - 1, knots) for axis in (along_r, along_a))
    r, a = np.interp(at_r, np.arange(len(along_r)), along_r), np.interp(at_a, np.arange(len(along_a)), along_a)
    grid = np.stack(np.broadcast_arrays(r[None, None, :], a[None, :, None], positions[:, None, None]), -1)
    coarse = warp(grid).astype(np.float32)
    by_row, by_column = _linear(len(along_a), knots), _linear(len(along_r), knots)
    middle = np.einsum("ak,nkrc->narc", by_row, coarse, optimize=True)
    return np.einsum("rk,nakc->narc", by_column, middle, optimize=True)


def _linear(count: int, knots: int) -> np.ndarray:
    """(count, knots) weights of linear interpolation from `knots` evenly spaced values to `count`."""
    at = np.linspace(0, knots - 1, count)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots))).astype(np.float32)


def _noise_volume(size: int = 64) -> np.ndarray:
    """A tileable cube of smooth unit noise, the same in every process."""
    global _noise_cube
    if _noise_cube is None:
        from scipy.ndimage import gaussian_filter

        cube = gaussian_filter(np.random.default_rng(0).normal(size=(size, size, size)), 0.8, mode="wrap")
        _noise_cube = (cube / cube.std() / np.sqrt(2)).astype(np.float32)
    return _noise_cube


def _sensitivity(scan: Scan, artefacts: Artefacts, along_r, along_a, positions) -> np.ndarray:
    """Receive sensitivity (N, rows, columns): smooth bias, a surface coil, fall-off at the ends and a saturation
    band."""
    axes = (positions[:, None, None], along_a[None, :, None], along_r[None, None, :])
    s, a, r = (axis - scan.centre_mm[d] for axis, d in zip(axes, (2, 1, 0), strict=True))
    log = np.zeros((len(positions), len(along_a), len(along_r)), np.float32)
    reach = np.maximum(scan.extent_mm, 150)
    for amplitude, fr, fa, fs, phase in artefacts.bias:
        wave = np.sin(fr * r / reach[0] + fa * a / reach[1] + fs * s / reach[2] + phase)
        log += (amplitude * wave).astype(np.float32)
    gain = np.exp(log)
    if artefacts.coil is not None:
        spot, radius = artefacts.coil
        squared = (r - spot[0]) ** 2 + (a - spot[1]) ** 2 + (s - spot[2]) ** 2
        gain /= (1 + squared / radius**2).astype(np.float32)
    if artefacts.end_fall_off:
        relative = np.abs(s) / (scan.extent_mm[2] / 2)
        gain *= np.exp(-artefacts.end_fall_off * np.maximum(0, relative - 0.5) ** 2 * 2).astype(np.float32)
    if artefacts.saturation is not None:
        edge, width, depth = artefacts.saturation
        band = 1 / (1 + np.exp(-(a - edge) / 6)) / (1 + np.exp((a - edge - width) / 6))
        gain *= (1 - depth * band).astype(np.float32)
    return gain


def _acquire(intensity: np.ndarray, artefacts: Artefacts, rng: np.random.Generator) -> np.ndarray:
    """Blur, ghosts, Rician noise and gamma on planes (N, rows, columns)."""
    from scipy.ndimage import gaussian_filter

    if artefacts.blur:
        intensity = gaussian_filter(intensity, (0, artefacts.blur, artefacts.blur))
    if artefacts.ghost is not None:
        strength, axis, count = artefacts.ghost
        step = intensity.shape[1 + axis] // count
        for k in range(1, count):
            intensity = intensity + strength / count * np.roll(intensity, k * step, 1 + axis)
    bright = float(np.percentile(intensity, 99)) or 1.0
    body = intensity > 0.02 * bright if artefacts.masked else None
    noise = rng.standard_normal((2, *intensity.shape), np.float32)
    if artefacts.noise_blur:
        noise = gaussian_filter(noise, (0, 0, artefacts.noise_blur, artefacts.noise_blur))
        noise /= noise.std()
    noise *= artefacts.noise * bright
    image = np.hypot(intensity + noise[0], noise[1])
    if body is not None:
        image *= body
    return (np.maximum(image / bright, 0) ** artefacts.gamma).astype(np.float32)


def render_image(volume: Volume, rng: np.random.Generator, longest: int | None = None) -> Image:
    """The whole volume as a scanner would export it: voxels (k, j, i) along S, A and R in unsigned 16 bit.

    Args:
        longest: at most this many voxels along R and A, see `render_planes`.
    """
    planes, spacing, _ = render_planes(volume, volume.positions_mm, rng, longest)
    voxels = np.round(np.clip(planes, 0, 4) * 1000).astype(np.uint16)[:, ::-1, ::-1]
    rows, columns = voxels.shape[1:]
    scan = volume.scan
    affine = np.diag([spacing[1], spacing[0], scan.spacing_mm[2], 1.0])
    affine[:3, 3] = scan.centre_mm - [(columns - 1) / 2 * spacing[1], (rows - 1) / 2 * spacing[0], 0]
    affine[2, 3] = volume.positions_mm[0]
    return Image(np.ascontiguousarray(voxels), affine, name=f"{scan.protocol} of {volume.anatomy.name}")
