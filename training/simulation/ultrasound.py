"""Simulated 3D ultrasound of a kidney in its surroundings, with the true capsule, adults and children.

The physics is that of a convolution model in the beams' own coordinates (Bamber and Dickinson 1980; Gao et al. 2009):
complex Gaussian scatterers shaped by echogenicity and the specular echoes of interfaces, weakened by what they have
passed through, are convolved with a point-spread function that changes with depth; then come reverberation, noise,
log compression and scan conversion. Every parameter is drawn from the range its dataclass states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage
from SlicerHPOLib.image import Image

from .acoustics import ATTENUATION, BLOCKING, TISSUE_NAMES, Acoustics
from .kidney_interior import Interior, draw_interior
from .kidney_scene import Body, Scene, draw_body
from .kidney_shape import KidneyShape, KidneyTraits, draw_traits, shape_from_mask, shape_of, signed_distance
from .probe import Probe, place_probe
from .randomisation import POPULATIONS, between, draw
from .sector import BEAMS, RANGES, Sector

SOUND_MM_PER_US = 1.54
FWHM = 2.3548  # of a Gaussian, over its standard deviation
CHILD_SHARE = 0.4
NO_KIDNEY_MM = -1000.0


@dataclass(frozen=True)
class Beam:
    """Transmission, reception and display."""

    frequency_mhz: float = between(2.0, 4.5, child=(3.5, 8.0), log=True)
    cycles: float = between(1.5, 4.0)  # of a pulse
    aperture_mm: float = between(12, 26, child=(9, 20))  # along the array
    height_mm: float = between(8, 16, child=(6, 12))  # of the aperture, across it
    focus: float = between(0.3, 0.9)  # over depth
    height_focus: float = between(0.3, 0.9)
    side_lobe_db: float = between(-42, -22)
    side_lobe_beams: float = between(8, 20)  # distance from the main lobe
    reverberation_db: float = between(-34, -12)  # of each bounce between the wall's interfaces
    bounce_mm: float = between(5, 25, child=(3, 10))
    tgc_slope: float = between(0.92, 1.12)  # over the attenuation of soft tissue
    tgc_ripple_db: float = between(0.0, 3.0)
    tgc_phase: float = between(0.0, 6.28)
    noise_db: float = between(-45, -8)  # at the far end, over the liver's echoes
    edge_db: float = between(0.0, 8.0)  # lost at the edges of the sector: directivity of the elements
    smoothing: float = between(0.0, 0.9)  # of the speckle by the scanner: standard deviation in samples and beams
    dynamic_range_db: float = between(45, 75)
    grey: float = between(0.40, 0.62)  # of the liver
    gamma: float = between(0.85, 1.2)
    breathing_mm: float = between(0.0, 2.5, child=(0.0, 1.2))  # blur along the body

    @property
    def wavelength_mm(self) -> float:
        """In soft tissue."""
        return SOUND_MM_PER_US / self.frequency_mhz

    @property
    def pulse_mm(self) -> float:
        """Axial resolution: half the pulse's length."""
        return self.cycles * self.wavelength_mm / 2

    def widths_mm(self, ranges_mm: np.ndarray, depth_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Full widths at half maximum of the beam at every range, along and across the array."""
        return (
            _beam_width(ranges_mm, self.focus * depth_mm, self.aperture_mm, self.wavelength_mm),
            _beam_width(ranges_mm, self.height_focus * depth_mm, self.height_mm, self.wavelength_mm),
        )


@dataclass(frozen=True, eq=False)
class Parameters:
    """All that was drawn for one volume, from which it can be made again."""

    traits: KidneyTraits
    interior: Interior
    body: Body
    acoustics: Acoustics
    probe: Probe
    sector: Sector
    beam: Beam
    seed: int


@dataclass(frozen=True, eq=False)
class Ultrasound:
    """A simulated volume and its truth.

    Attributes:
        image: grey levels 0 to 255, uint8, 0 outside the field of view.
        phi_mm: (k, j, i) float32 on the image's voxels, signed distance to the capsule, positive inside.
        visible: part of the kidney that is in the field of view.
    """

    image: Image
    phi_mm: np.ndarray
    population: str
    age_years: float
    side: str
    hydronephrosis: int
    visible: float
    parameters: Parameters

    @property
    def mask(self) -> np.ndarray:
        """(k, j, i) bool: inside the capsule."""
        return self.phi_mm > 0


def simulate_ultrasound(
    seed: int,
    population: str | None = None,
    *,
    spacing_mm: float = 4.0,
    size: int | None = 80,
    masks: Sequence[Image] = (),
    kidney: bool = True,
    **traits,
) -> Ultrasound:
    """Simulate one volume; the same arguments give the same voxels.

    Args:
        population: "adult" or "child"; None draws one, 40 % children.
        spacing_mm: of the voxels. size: voxels along each axis of a cube centred on the field of view; None gives the
            box of the field of view, as a scanner exports it.
        masks: kidneys, one an image, of either side, to take shapes from instead of the parametric family; a name that
            ends in L or _L is a left one.
        kidney: False leaves it out: what is seen where the probe was aimed at one that is not there. phi_mm is then
            `NO_KIDNEY_MM` everywhere.
        traits: age_years, side or hydronephrosis, where they are to be given (see `draw_traits`).

    Raises:
        ValueError: an unknown population, or traits it cannot have.
    """
    if population is not None and population not in POPULATIONS:
        raise ValueError(f"Unknown population {population!r}; known are {', '.join(POPULATIONS)}.")
    rng = np.random.default_rng(seed)
    child = rng.random() < CHILD_SHARE
    population = population or POPULATIONS[child]
    shape = _draw_shape(rng, population, masks, traits)
    interior = draw_interior(rng, shape)
    body = draw_body(rng, shape)
    scene = Scene(shape, interior, body, kidney)
    probe, sector = place_probe(rng, scene)
    acoustics, beam = draw(Acoustics, rng, population), draw(Beam, rng, population)

    points = sector.points()
    labels, _ = scene.tissues_at(*(c.ravel() for c in probe.to_patient(*points)))
    grey = render(labels.reshape(RANGES, BEAMS, BEAMS), sector, acoustics, beam, rng)
    box = sector.box_mm
    counts = np.ceil(np.ptp(box, axis=0) / spacing_mm).astype(int) if size is None else np.full(3, size)
    centred = [(np.arange(n) - (n - 1) / 2) * spacing_mm for n in counts]
    x, y, z = (axis + middle for axis, middle in zip(centred, box.mean(0), strict=True))
    voxels = sector.scan_convert(grey, x, y, z, spacing_mm)
    seen = voxels > 0
    blur = beam.breathing_mm * np.abs(probe.axes[2, ::-1]) / spacing_mm
    voxels = np.where(seen, ndimage.gaussian_filter(voxels, blur), 0)
    image = Image(np.rint(255 * voxels).astype(np.uint8), probe.ijk_to_ras(scene, x, y, z), f"ultrasound-{seed}")
    return Ultrasound(
        image=image,
        phi_mm=_phi_on_voxels(scene, probe, x, y, z, spacing_mm)
        if kidney
        else np.full(voxels.shape, NO_KIDNEY_MM, np.float32),
        population=population,
        age_years=shape.traits.age_years,
        side=shape.traits.side,
        hydronephrosis=shape.traits.hydronephrosis,
        visible=float(sector.contains(*probe.to_probe(scene.points_mm).T).mean()) if kidney else 0.0,
        parameters=Parameters(shape.traits, interior.interior, body, acoustics, probe, sector, beam, seed),
    )


def render(
    labels: np.ndarray, sector: Sector, acoustics: Acoustics, beam: Beam, rng: np.random.Generator
) -> np.ndarray:
    """Grey levels 0 to 1, float32, of tissue labels (RANGES, BEAMS, BEAMS), in the sector's own coordinates."""
    grey = compress(np.abs(echoes(labels, sector, acoustics, beam, rng)), beam)
    return ndimage.gaussian_filter(grey, beam.smoothing, truncate=2.5)


def echoes(
    labels: np.ndarray, sector: Sector, acoustics: Acoustics, beam: Beam, rng: np.random.Generator
) -> np.ndarray:
    """Complex echoes (RANGES, BEAMS, BEAMS) complex64, time-gain compensated; speckle of the liver has power 1."""
    specular = _specular(labels, sector, acoustics)
    gain = 10 ** (transmission_db(labels, sector, acoustics, beam) / 20)
    compensation = tgc_db(sector, acoustics, beam)
    edge = -beam.edge_db * np.square(np.linspace(-1, 1, BEAMS, dtype=np.float32))
    gain *= 10 ** (compensation[:, None, None] / 20 + edge[:, None] / 20 + edge / 20)
    strength = 10 ** (acoustics.echogenicity_db() / 20)[labels] * _mottle(sector, acoustics, rng)
    field = _complex_normal(rng, labels.shape)
    field *= strength
    field += specular
    field *= gain
    field = _convolve_across(field, sector, beam)
    _reverberate(field, specular * gain, sector, beam)
    noise = 10 ** ((beam.noise_db + compensation - compensation[-1]) / 20)
    field += _complex_normal(rng, labels.shape) * noise[:, None, None].astype(np.float32)
    return _convolve_along(field, sector, beam)


def compress(envelope: np.ndarray, beam: Beam) -> np.ndarray:
    """Logarithmic compression of an envelope to grey levels in [0, 1]."""
    grey = beam.grey + 20 / beam.dynamic_range_db * np.log10(np.maximum(envelope, 1e-6))
    return np.clip(grey, 0, 1) ** np.float32(beam.gamma)


def transmission_db(labels: np.ndarray, sector: Sector, acoustics: Acoustics, beam: Beam) -> np.ndarray:
    """What is lost to and fro on the way to each sample, dB, not above 0: the sum of attenuation along its beam."""
    per_step = ATTENUATION * np.float32(2 * beam.frequency_mhz * sector.step_mm / 10)
    soft = np.isin(TISSUE_NAMES, BLOCKING, invert=True)
    per_step = np.where(soft, per_step * acoustics.attenuation, per_step).astype(np.float32)
    loss = per_step[labels]
    np.cumsum(loss, axis=0, out=loss)
    return -np.minimum(loss, 120)


def tgc_db(sector: Sector, acoustics: Acoustics, beam: Beam) -> np.ndarray:
    """Time-gain compensation (RANGES,) in dB: the attenuation of the patient's average soft tissue, imperfectly."""
    r = sector.ranges_mm
    ripple = beam.tgc_ripple_db * np.sin(2 * np.pi * r / sector.depth_mm * 1.3 + beam.tgc_phase)
    return (beam.tgc_slope * acoustics.attenuation * 2 * 0.57 * beam.frequency_mhz * r / 10 + ripple).astype(np.float32)


def _beam_width(ranges_mm, focus_mm: float, aperture_mm: float, wavelength_mm: float) -> np.ndarray:
    """Diffraction limit at the focus, widening as a Gaussian beam does; reception follows the focus and halves it."""
    number = focus_mm / aperture_mm
    waist = 1.2 * wavelength_mm * number
    reach = 8 * wavelength_mm * number**2
    return waist * np.sqrt(1 + np.square((ranges_mm - focus_mm) / reach))


def _complex_normal(rng: np.random.Generator, shape) -> np.ndarray:
    """Circular complex Gaussian noise of power 1, complex64."""
    pairs = rng.standard_normal((*shape, 2), dtype=np.float32)
    pairs *= np.float32(np.sqrt(0.5))
    return pairs.view(np.complex64)[..., 0]


def _specular(labels: np.ndarray, sector: Sector, acoustics: Acoustics) -> np.ndarray:
    """Echo amplitude of interfaces: the step of impedance, weakened as they turn away from the beam."""
    smooth = acoustics.impedance_mrayl()[labels]
    for axis in range(3):
        smooth = ndimage.uniform_filter1d(smooth, 3, axis)
    along, theta, phi = (np.gradient(smooth, axis=axis) for axis in range(3))
    along /= np.float32(sector.step_mm)
    arcs = [(1 / arc).astype(np.float32)[:, None, None] for arc in sector.arcs_mm()]
    squared = np.square(theta * arcs[0]) + np.square(phi * arcs[1]) + np.square(along)
    cosine = np.abs(along) / np.sqrt(squared + np.float32(1e-12))
    step = np.abs(along) * np.float32(3 * sector.step_mm / 0.1)
    return step * cosine ** np.float32(acoustics.roughness) * np.float32(10 ** (acoustics.specular_db / 20))


def _mottle(sector: Sector, acoustics: Acoustics, rng: np.random.Generator) -> np.ndarray:
    """Uneven echogenicity: a factor of amplitude, smooth over `mottle_mm`."""
    extent = np.array([sector.depth_mm, *(arc[RANGES // 2] * BEAMS for arc in sector.arcs_mm())])
    knots = np.clip((extent / acoustics.mottle_mm).astype(int) + 2, 4, (RANGES, BEAMS, BEAMS))
    field = rng.standard_normal(knots, dtype=np.float32) * np.float32(1.6 * acoustics.mottle_db / 20)
    for axis, count in enumerate((RANGES, BEAMS, BEAMS)):
        field = np.moveaxis(np.tensordot(_linear(count, knots[axis]), field, (1, axis)), 0, axis)
    return np.power(np.float32(10), field)


def _linear(count: int, knots: int) -> np.ndarray:
    """(count, knots) weights of linear interpolation from `knots` even places to `count`."""
    at = np.linspace(0, knots - 1, count)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots))).astype(np.float32)


def _convolve_across(field: np.ndarray, sector: Sector, beam: Beam) -> np.ndarray:
    """The beam's profile along and across the array, at every range, with side lobes; keeps the power of speckle."""
    frequency = fft.fftfreq(BEAMS)
    transfer = []
    for width, arc in zip(beam.widths_mm(sector.ranges_mm, sector.depth_mm), sector.arcs_mm(), strict=True):
        sigma = width / FWHM / arc
        main = np.exp(-2 * np.square(np.pi * sigma[:, None] * frequency))
        # A pair of lobes, three times as wide as the main one.
        lobes = np.exp(-2 * np.square(np.pi * 3 * (sigma[:, None] + 0.5) * frequency))
        lobes *= 2 * np.cos(2 * np.pi * beam.side_lobe_beams * frequency)
        profile = main + 10 ** (beam.side_lobe_db / 20) * lobes * 3
        transfer.append((profile / np.sqrt(np.square(profile).mean(1, keepdims=True))).astype(np.float32))
    spectrum = fft.fft2(field, axes=(1, 2), overwrite_x=True)
    spectrum *= transfer[0][:, :, None]
    spectrum *= transfer[1][:, None, :]
    return fft.ifft2(spectrum, axes=(1, 2), overwrite_x=True)


def _reverberate(field: np.ndarray, interfaces: np.ndarray, sector: Sector, beam: Beam, bounces: int = 3) -> None:
    """Add late copies of the interfaces' echoes, each weaker than the last."""
    delay = max(1, round(beam.bounce_mm / sector.step_mm))
    for bounce in range(1, bounces + 1):
        if bounce * delay < RANGES:
            late = interfaces[: -bounce * delay]
            field[bounce * delay :] += np.float32(10 ** (bounce * beam.reverberation_db / 20)) * late


def _convolve_along(field: np.ndarray, sector: Sector, beam: Beam) -> np.ndarray:
    """The pulse's envelope along the beams; keeps the power of white noise."""
    sigma = beam.pulse_mm / FWHM / sector.step_mm
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    kernel = (kernel / np.sqrt(np.square(kernel).sum())).astype(np.float32)
    total = field * kernel[reach]
    for lag in range(1, reach + 1):
        total[lag:] += kernel[reach + lag] * field[:-lag]
        total[:-lag] += kernel[reach - lag] * field[lag:]
    return total


def _draw_shape(rng: np.random.Generator, population: str, masks: Sequence[Image], traits: dict) -> KidneyShape:
    """A shape of the family, or one of the masks at the drawn length."""
    if not masks:
        return shape_of(draw_traits(rng, population, **traits))
    mask = masks[rng.integers(len(masks))]
    side = "left" if mask.name.upper().endswith("L") else "right"
    return shape_from_mask(mask, draw_traits(rng, population, **(traits | {"side": side})))


def _phi_on_voxels(scene: Scene, probe: Probe, x, y, z, spacing_mm: float) -> np.ndarray:
    """Signed distance to the capsule on the voxels: the shape's own near it, beyond measured on voxels of 4 mm."""
    stride = max(1, round(4.0 / spacing_mm))
    coarse = [axis[0] + spacing_mm * stride * np.arange(-(-len(axis) // stride) + 1) for axis in (x, y, z)]
    if stride == 1:
        coarse = [x, y, z]
    phi = _near_phi(scene, probe, *coarse)
    beyond = phi < -scene.shape.margin_mm
    phi[beyond] = signed_distance(phi, spacing_mm * stride)[beyond]
    if stride == 1:
        return phi
    for dimension, axis in enumerate((z, y, x)):
        at = np.arange(len(axis), dtype=np.float32) / stride
        weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(phi.shape[dimension], dtype=np.float32)))
        phi = np.moveaxis(np.tensordot(weights, phi, (1, dimension)), 0, dimension)
    for k in range(len(z)):
        near = _near_phi(scene, probe, x, y, z[k : k + 1])[0]
        phi[k] = np.where(near < -scene.shape.margin_mm, phi[k], near)
    return phi


def _near_phi(scene: Scene, probe: Probe, x, y, z) -> np.ndarray:
    """(z, y, x) the shape's own signed distance on a grid of the probe's frame; see `KidneyShape.phi_at`."""
    z, y, x = np.meshgrid(*(np.asarray(axis, np.float32) for axis in (z, y, x)), indexing="ij")
    patient = probe.to_patient(x, y, z)
    return scene.shape.phi_at(*(sum(c * a for c, a in zip(patient, axis, strict=True)) for axis in scene.axes.T))
