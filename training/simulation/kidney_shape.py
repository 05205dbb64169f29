"""A parametric family of kidney shapes, adults and children by age, as signed distance functions.

A kidney has its own frame, millimetres from the middle of its bounding box: x lateral, y anterior, z superior along the
long axis; left and right kidneys are each other's mirror image and share it. The surface is the zero level of a bent,
tapered superellipsoid with a notch at the hilum, a lateral hump, lobulation and smooth irregularity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage
from SlicerHPOLib.image import Image

from .randomisation import between, draw

SIDES = ("left", "right")
STEPS = 56  # voxels along the long axis of a shape's own grid, poles to poles
MARGIN = 8  # voxels around it
FAR = 8  # voxels from a surface, where its curvature no longer matters

# Mean renal length by age in children: rounded from Rosenbaum et al., AJR 142 (1984) 467-469.
_AGES_YEARS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0)
_LENGTHS_MM = (50.0, 59.0, 63.0, 69.0, 80.0, 94.0, 105.0)
CHILD_SPREAD = 0.07  # standard deviation of length over its mean at one age
ADULT_LENGTH_MM = (90.0, 110.0, 130.0)  # shortest, mean, longest
AGES = {"adult": (18.0, 85.0), "child": (0.5, 15.0)}
# Society for Fetal Urology grades 0 to 4: how often each is drawn, and how much longer the kidney is.
GRADES = {"adult": (0.90, 0.04, 0.03, 0.02, 0.01), "child": (0.70, 0.08, 0.08, 0.08, 0.06)}
SWELLING = (1.0, 1.01, 1.03, 1.07, 1.12)


@dataclass(frozen=True)
class KidneyTraits:
    """What makes one kidney differ from the next; lengths without a unit are relative to the kidney's half axes."""

    population: str
    age_years: float
    side: str
    hydronephrosis: int  # Society for Fetal Urology grade, 0 to 4
    length_mm: float  # pole to pole
    seed: int  # of the irregularity
    width: float = between(0.46, 0.62, child=(0.42, 0.55))  # over length
    thickness: float = between(0.68, 0.95, child=(0.75, 1.0))  # over width
    squareness: float = between(1.9, 2.5)  # exponent of the superellipsoid
    bend: float = between(0.0, 0.22)  # poles towards medial
    twist: float = between(-0.25, 0.25)  # poles towards anterior or posterior
    taper: float = between(-0.22, 0.15)  # widening towards the upper pole
    wedge: float = between(-0.12, 0.30)  # medial side thinner than the lateral one
    hilum_depth: float = between(0.10, 0.50)
    hilum_length: float = between(0.20, 0.45)
    hilum_forward: float = between(-0.1, 0.5)  # the hilum opens anteriorly
    hump: float = between(-0.05, 0.12)  # dromedary
    lobulation: float = between(0.0, 0.02, child=(0.0, 0.045))
    irregularity: float = between(0.01, 0.07)

    @property
    def half_axes_mm(self) -> np.ndarray:
        """(3,) lateral, anterior, superior."""
        half = self.length_mm / 2
        return np.array([half * self.width, half * self.width * self.thickness, half])


@dataclass(frozen=True, eq=False)
class KidneyShape:
    """The capsule of a kidney in its own frame.

    Attributes:
        phi_mm: (k, j, i) float32, signed distance to the capsule, positive inside; k superior, j anterior, i lateral;
            the middle of the grid is the origin.
        spacing_mm: of this grid, the same along all axes.
        traits: of the kidney; of a shape that comes from a mask its side, age, length and grade count.
    """

    phi_mm: np.ndarray
    spacing_mm: float
    traits: KidneyTraits
    half_axes_mm: np.ndarray = field(init=False)  # (3,) lateral, anterior, superior: half the extent

    def __post_init__(self):
        at = np.argwhere(self.phi_mm > 0)
        extent = (at.max(0) - at.min(0) + 1)[::-1] * self.spacing_mm
        object.__setattr__(self, "half_axes_mm", extent / 2)

    @property
    def margin_mm(self) -> float:
        """How far around the kidney its grid reaches, and `phi_at` is exact."""
        return MARGIN * self.spacing_mm

    @property
    def volume_ml(self) -> float:
        """Volume inside the capsule, with the part of each voxel the surface cuts."""
        part = np.clip(0.5 + self.phi_mm / self.spacing_mm, 0, 1)
        return float(part.sum(dtype=np.float64)) * self.spacing_mm**3 / 1000

    @cached_property
    def inside_mm(self) -> np.ndarray:
        """(n, 3) points inside, on the shape's grid."""
        middle = (np.array(self.phi_mm.shape) - 1) / 2
        return ((np.argwhere(self.phi_mm > 0) - middle)[:, ::-1] * self.spacing_mm).astype(np.float32)

    def phi_at(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Signed distance (...) float32 at points of the kidney's frame; beyond the shape's grid an upper bound of it,
        below `-margin_mm`."""
        shape = self.phi_mm.shape
        index = [
            np.asarray(c, np.float32) / np.float32(self.spacing_mm) + np.float32((n - 1) / 2)
            for c, n in zip((z, y, x), shape, strict=True)
        ]
        nearest = [np.clip(c, 0, n - 1) for c, n in zip(index, shape, strict=True)]
        beyond = np.sqrt(sum(np.square(c - m) for c, m in zip(index, nearest, strict=True)))
        near = beyond == 0
        phi = (-np.float32(self.margin_mm) - beyond * np.float32(self.spacing_mm)).astype(np.float32)
        phi[near] = ndimage.map_coordinates(self.phi_mm, [c[near] for c in nearest], order=1)
        return phi

    def as_image(self) -> Image:
        """The signed distance in RAS, the long axis along S; a left kidney's first axis runs to the left."""
        lateral = 1.0 if self.traits.side == "right" else -1.0
        matrix = np.diag([lateral * self.spacing_mm, self.spacing_mm, self.spacing_mm, 1.0])
        matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(self.phi_mm.shape[::-1]) - 1) / 2)
        return Image(self.phi_mm, matrix, f"kidney-{self.traits.side}")


def child_length_mm(age_years: float) -> float:
    """Mean length of a child's kidney."""
    return float(np.interp(age_years, _AGES_YEARS, _LENGTHS_MM))


def draw_traits(
    rng: np.random.Generator,
    population: str,
    *,
    age_years: float | None = None,
    side: str | None = None,
    hydronephrosis: int | None = None,
) -> KidneyTraits:
    """Draw a kidney; what is given is taken.

    Raises:
        ValueError: an unknown population, side or grade, or an age the population does not have.
    """
    if population not in AGES:
        raise ValueError(f"Unknown population {population!r}; known are {', '.join(AGES)}.")
    low, high = AGES[population]
    age = rng.uniform(low, high)
    side_drawn, grade_drawn = SIDES[rng.integers(2)], int(rng.choice(5, p=GRADES[population]))
    age = age if age_years is None else float(age_years)
    side = side_drawn if side is None else side
    grade = grade_drawn if hydronephrosis is None else hydronephrosis
    if not low <= age <= high:
        raise ValueError(f"An {population} of {age:g} years? The family has them from {low:g} to {high:g}.")
    if side not in SIDES:
        raise ValueError(f"Unknown side {side!r}; it is left or right.")
    if grade not in range(5):
        raise ValueError(f"Unknown grade of hydronephrosis {grade!r}; grades are 0 to 4.")
    if population == "adult":
        shortest, mean, longest = ADULT_LENGTH_MM
        length = float(np.clip(rng.normal(mean, 9.0), shortest, longest))
    else:
        length = child_length_mm(age) * float(np.exp(np.clip(rng.normal(0, CHILD_SPREAD), -0.18, 0.18)))
    given = dict(age_years=age, side=side, hydronephrosis=grade, length_mm=length * SWELLING[grade])
    return draw(KidneyTraits, rng, population, population=population, seed=int(rng.integers(2**31)), **given)


def shape_of(traits: KidneyTraits) -> KidneyShape:
    """The shape of a kidney of these traits; the same traits give the same shape."""
    half = traits.half_axes_mm.astype(np.float32)
    step = np.float32(traits.length_mm / STEPS)
    # Room for bend, hump and irregularity, then the margin.
    counts = np.ceil(half * np.array([1.5, 1.35, 1.15]) / step).astype(int) + MARGIN
    x, y, z = (np.arange(-n, n + 1, dtype=np.float32) * step for n in counts)
    level = _level(traits, half, x[None, None, :], y[None, :, None], z[:, None, None])
    return _of_length(level, float(step), traits)


def shape_from_mask(mask: Image, traits: KidneyTraits) -> KidneyShape:
    """The shape of a segmented kidney, scaled to the length of `traits`, whose side must be the mask's.

    Holes and the open sinus are closed, the long axis is turned to the kidney's own; voxels above 0 are kidney.

    Raises:
        ValueError: the mask is empty.
    """
    inside = np.asarray(mask.voxels) > 0
    if not inside.any():
        raise ValueError(f"{mask.name or 'the mask'} is empty; it must hold one kidney.")
    points = mask.ras_of(np.argwhere(inside)[:, ::-1])
    centre = points.mean(0)
    axis = np.linalg.svd(points[:: max(1, len(points) // 5000)] - centre, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[2]) if axis[2] else axis
    turn = _turn_to_superior(axis)
    mirror = np.diag([1.0 if traits.side == "right" else -1.0, 1, 1])
    own = (points - centre) @ turn.T @ mirror
    length = np.ptp(own[:, 2])
    step = length / STEPS
    counts = np.ceil(np.abs(own).max(0) / step).astype(int) + MARGIN
    axes = [np.arange(-n, n + 1) * step for n in counts]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    ras = np.stack([x, y, z], -1) @ mirror @ turn + centre
    soft = ndimage.gaussian_filter(_closed(inside, mask.spacing_mm).astype(np.float32), 1.0)
    level = ndimage.map_coordinates(soft, np.moveaxis(mask.ijk_of(ras)[..., ::-1], -1, 0), order=1) - np.float32(0.5)
    return _of_length(level, float(step), traits)


def signed_distance(level: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Signed distance in mm, positive inside, to the zero level of a smooth function on a grid.

    Every voxel is measured from the nearest voxel beside the surface, whose foot point is one Newton step along the
    gradient away. Close by, the surface is taken for the sphere with that tangent and the whole volume's radius; from
    afar, for the foot point.

    Args:
        level: (k, j, i), positive inside, crossing 0 with a gradient. spacing_mm: of the grid, isotropic.

    Raises:
        ValueError: the function has no zero level on the grid.
    """
    inside = level > 0
    beside = inside ^ ndimage.binary_erosion(inside, border_value=1)
    beside |= ndimage.binary_dilation(inside) ^ inside
    if not beside.any():
        raise ValueError("The function has one sign on the whole grid, so there is no surface to measure from.")
    gradient = np.stack(np.gradient(level.astype(np.float32)))
    steep = np.sqrt(np.square(gradient).sum(0)) + np.float32(1e-9)
    inwards = gradient / steep
    depth = np.clip(level / steep, -1.5, 1.5).astype(np.float32)  # of the voxels beside the surface
    at = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in level.shape), indexing="ij"))
    k, j, i = ndimage.distance_transform_edt(~beside, return_distances=False, return_indices=True)
    inwards = inwards[:, k, j, i]
    offset = at - at[:, k, j, i]
    height = (offset * inwards).sum(0) + depth[k, j, i]
    aside = np.square(offset).sum(0) - np.square((offset * inwards).sum(0))
    radius = np.float32(np.cbrt(3 / (4 * np.pi) * inside.sum()))
    to_sphere = radius - np.sqrt(np.square(radius - height) + aside)
    to_point = np.where(inside, 1, -1) * np.sqrt(np.square(height) + aside)
    far = np.clip(np.abs(height) / FAR - 0.25, 0, 1)
    return (((1 - far) * to_sphere + far * to_point) * np.float32(spacing_mm)).astype(np.float32)


def _level(traits: KidneyTraits, half: np.ndarray, x, y, z) -> np.ndarray:
    """The implicit function: 1 in the middle, 0 on the capsule, about (distance / half width) near it."""
    w = z / half[2]
    u = (x + traits.bend * half[2] * (w * w - 0.33) * 0.6) / (half[0] * (1 + traits.taper * w))
    v = (y + traits.twist * half[1] * (w * w - 0.33)) / (half[1] * (1 + traits.taper * w))
    v = v / (1 + traits.wedge * np.tanh(u))
    p = np.float32(traits.squareness)
    level = 1 - (np.abs(u) ** p + np.abs(v) ** p + np.abs(w) ** p) ** (1 / p)
    notch = np.square((u + 1.05) / 0.5) + np.square(w / traits.hilum_length)
    notch = notch + np.square((v - traits.hilum_forward) / 0.6)
    level -= traits.hilum_depth * np.exp(-notch)
    level += traits.hump * np.exp(-np.square((u - 1) / 0.5) - np.square(v / 0.7) - np.square((w + 0.1) / 0.35))
    rng = np.random.default_rng(traits.seed)
    level += _waves(rng, (x, y, z), float(2 * half[2]), traits.irregularity)
    level += _waves(rng, (x, y, z), float(0.45 * half[2]), traits.lobulation)
    return level.astype(np.float32)


def _waves(rng: np.random.Generator, axes, wavelength_mm: float, strength: float, count: int = 6) -> np.ndarray:
    """A sum of plane waves of random direction and phase, with standard deviation `strength`."""
    total = np.float32(0)
    for _ in range(count):
        direction = rng.normal(size=3)
        k = 2 * np.pi * direction / np.linalg.norm(direction) / (wavelength_mm * rng.uniform(0.6, 1.2))
        phase = sum(np.float32(component) * axis for component, axis in zip(k, axes, strict=True))
        total = total + np.sin(phase + np.float32(rng.uniform(0, 2 * np.pi)))
    return total * np.float32(strength * np.sqrt(2 / count))


def _largest(level: np.ndarray) -> np.ndarray:
    """The function with every part of its inside but the largest made outside."""
    parts, count = ndimage.label(level > 0)
    if count > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        level = np.where((parts > 0) & (parts != sizes.argmax()), -np.abs(level), level)
    return level


def _closed(inside: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """The mask without holes and with the fissures of the sinus, up to 18 mm wide, filled."""
    reach = 9.0
    pad = int(np.ceil(reach / spacing_mm.min())) + 1
    inside = np.pad(inside, pad)
    spacing = spacing_mm[::-1]
    grown = ndimage.distance_transform_edt(~inside, spacing) < reach
    closed = ndimage.distance_transform_edt(grown, spacing) >= reach
    return ndimage.binary_fill_holes(closed | inside)[pad:-pad, pad:-pad, pad:-pad]


def _turn_to_superior(axis: np.ndarray) -> np.ndarray:
    """(3, 3) the least rotation that takes a unit vector to S."""
    from scipy.spatial.transform import Rotation

    normal = np.cross(axis, (0.0, 0.0, 1.0))
    sine = np.linalg.norm(normal)
    if sine < 1e-9:
        return np.eye(3)
    return Rotation.from_rotvec(normal / sine * np.arctan2(sine, axis[2])).as_matrix()


def _of_length(level: np.ndarray, step_mm: float, traits: KidneyTraits) -> KidneyShape:
    """The shape of an implicit function, its largest piece scaled to the traits' length, on a grid cut to a margin."""
    level = _largest(level)
    at = np.argwhere(level > 0)
    low, high = at.min(0), at.max(0)
    padded = np.pad(level, MARGIN, mode="edge")  # the margin may reach past the grid
    cut = padded[tuple(slice(a, b + 1 + 2 * MARGIN) for a, b in zip(low, high, strict=True))]
    phi = signed_distance(cut, step_mm)
    poles = sum(float(phi[k].max()) for k in (MARGIN, -1 - MARGIN))  # the surface is this far beyond the end slices
    scale = traits.length_mm / ((high[0] - low[0]) * step_mm + poles)
    return KidneyShape(phi * np.float32(scale), step_mm * scale, traits)
