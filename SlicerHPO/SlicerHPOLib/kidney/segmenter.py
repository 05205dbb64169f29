"""The kidney in a 3D ultrasound volume: found by a deployed model, then corrected by points as often as wanted.

    segmenter = KidneySegmenter.load()
    result = segmenter.segment(read_image("volume.nrrd"))
    result = segmenter.add_outside((12.0, -30.5, 80.0))

Points and their undoing are those of `session.KidneySession`, which needs no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

from ..bundle import Bundle, BundleError, find_bundle, read_bundle
from ..image import Image
from ..job import Job
from ..words import _, joined
from .corrections import Corrector
from .grid import Grid, fitted_grid, orientations, to_grid
from .points import Points
from .request import AUTO, why_not
from .segmentation import KidneySegmentation, SegmentationError, one_piece
from .session import NO_POINTS, FoundKidney, KidneySession
from .template import Template, redistanced

__all__ = ["TASK", "KidneySegmentation", "KidneySegmenter", "SegmentationError"]

if TYPE_CHECKING:
    import torch

    from .deformation import Deformation, DeformationNetwork

TASK = "kidney-ultrasound"
MODES = 4  # of the template's modes of variation, that corrections make use of


class KidneySegmenter:
    """A deployed model and the volume it works on.

    Args:
        network: the trained network, with the template in it.
        spacings_mm, size: of the working grid, see `grid.fitted_grid`; the network sees every spacing as its own.
        least_confidence: below it, there may be no kidney in the volume.
        calibration: slope and offset from the logit of the Dice that the network expects to that of the confidence
            (Platt 1999).
    """

    def __init__(
        self,
        network: DeformationNetwork,
        spacings_mm: Sequence[float],
        size: int,
        least_confidence: float,
        calibration: tuple[float, float] = (1.0, 0.0),
    ):
        self.network, self.spacings_mm, self.size = network, tuple(spacings_mm), size
        self.least_confidence, self.calibration = least_confidence, calibration
        self._session: KidneySession | None = None

    @classmethod
    def load(cls, bundle: str | Path | Bundle = TASK) -> KidneySegmenter:
        """The segmenter of a bundle, of its name, or of its folder. Raises BundleError if it is broken or made for
        another task."""
        if not isinstance(bundle, Bundle):
            bundle = read_bundle(find_bundle(bundle))
        manifest = bundle.manifest
        if manifest["task"] != TASK:
            raise BundleError(
                _("The bundle's task is {task}; a kidney needs a bundle for {expected}.").format(
                    task=repr(manifest["task"]), expected=repr(TASK)
                )
            )
        from .deformation import DeformationParameters, network_of

        try:
            parameters = DeformationParameters(**manifest["architecture"])
            spacings_mm, size = manifest["input"]["spacings_mm"], manifest["input"]["size"]
            least = float(manifest["decision"]["least_confidence"])
            slope, offset = map(float, manifest["decision"].get("calibration", (1.0, 0.0)))
            positive = bool(spacings_mm) and min(spacings_mm) > 0
            calibrated = 0 < slope < math.inf and math.isfinite(offset) and 0 <= least <= 1
            if not positive or not isinstance(size, int) or size < 2 or not calibrated:
                raise ValueError(
                    _(
                        "input is {given} and decision {decision}; expected are spacings_mm, a size in voxels, a "
                        "least_confidence from 0 to 1, and a calibration of two numbers, the first positive."
                    ).format(given=manifest["input"], decision=manifest["decision"])
                )
            return cls(network_of(parameters, bundle.weights()), spacings_mm, size, least, (slope, offset))
        except KeyError as error:
            raise BundleError(
                _("The bundle's model.json describes no kidney model: {error} is missing.").format(error=error)
            ) from None
        except (TypeError, ValueError, IndexError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(
                _("The bundle's model.json describes no kidney model: {error}").format(error=error)
            ) from None

    def segment(
        self,
        image: Image,
        *,
        method: str = "deformation",
        population: str = AUTO,
        seed_point_mm: tuple[float, float, float] | None = None,
        points: Points = NO_POINTS,
        job: Job = Job(),
    ) -> KidneySegmentation:
        """Find the kidney in a volume; corrections then refer to it.

        Args:
            image: of any size, spacing and orientation.
            method: "deformation": the template deformed by the network. "unet": the network's dense answer alone.
                "classical": the template fitted to the regions of the image around `seed_point_mm`.
            population: "adult" or "child", whose network answers, or "auto": the network says which the volume shows.
                The dense map is the same for both. The classical method knows only "auto". A model that answers for
                all alike says so, and does.
            seed_point_mm: RAS, near the middle of the kidney; for the classical method, and only for it.
            points: corrections to begin with; undoing does not go behind them.

        Raises:
            SegmentationError: no kidney was found; an unknown method or population; a seed point that is missing, not
                expected or outside of the volume.
            CorrectionError: a point cannot be honoured.
            Cancelled: the job was cancelled.
        """
        asked = {"method": method, "population": population, "seed_point_mm": seed_point_mm}
        found = self.find(image, **asked, job=job.part(0.0, 0.9))
        session = KidneySession(found, points)
        job.progress(1.0, _("done"))
        self._session = session
        return session.result

    def find(
        self,
        image: Image,
        *,
        method: str = "deformation",
        population: str = AUTO,
        seed_point_mm: tuple[float, float, float] | None = None,
        job: Job = Job(),
    ) -> FoundKidney:
        """What a method finds, for a `KidneySession` elsewhere; arguments and errors as of `segment`."""
        check_request(image, method, seed_point_mm, population)
        job.progress(0.0, _("resampling"))
        grid = fitted_grid(image, self.spacings_mm, self.size)
        turned = orientations(to_grid(image, grid), grid)
        job.progress(0.2, _("finding the kidney"))
        if method == "classical":
            volume, grid = turned[0]
            seed_mm = np.array(seed_point_mm, float)
            found = self._classical(image, grid, np.ascontiguousarray(volume), seed_mm, job.part(0.2, 1.0))
        else:
            found = self._by_network(image, turned, method, population, job.part(0.2, 1.0))
        job.progress(1.0, _("resampling the result"))
        return found

    @property
    def result(self) -> KidneySegmentation:
        """The answer as it is now. Raises SegmentationError if nothing was segmented yet."""
        return self._now.result

    @property
    def points(self) -> Points:
        """The correction points as they are now."""
        return self._session.points if self._session else NO_POINTS

    @property
    def corrector(self) -> Corrector:
        """What honours points on what was found first. Raises SegmentationError if nothing was segmented yet."""
        return self._now.found.corrector

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return self._session is not None and self._session.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change to do again."""
        return self._session is not None and self._session.can_redo

    def add_inside(self, ras_mm) -> KidneySegmentation:
        """With a point (R, A, S) in mm that the kidney contains. This and what follows raise `CorrectionError` for
        points that cannot be honoured; nothing has changed then."""
        return self._now.add_inside(ras_mm)

    def add_outside(self, ras_mm) -> KidneySegmentation:
        """With a point that the kidney does not contain."""
        return self._now.add_outside(ras_mm)

    def move(self, number: int, ras_mm) -> KidneySegmentation:
        """With a point, counted from 1, at another place."""
        return self._now.move(number, ras_mm)

    def remove(self, number: int) -> KidneySegmentation:
        """Without a point, counted from 1."""
        return self._now.remove(number)

    def undo(self) -> KidneySegmentation:
        """Before the last change; the same if there was none."""
        return self._now.undo()

    def redo(self) -> KidneySegmentation:
        """After the change undone last; the same if there is none."""
        return self._now.redo()

    @property
    def _now(self) -> KidneySession:
        if self._session is None:
            raise SegmentationError(_("No volume has been segmented yet: call segment(image) first."))
        return self._session

    def _scale(self, grid: Grid) -> float:
        """mm of the grid for each mm of the network, which sees every grid as one of its own spacing."""
        return float(grid.spacing_mm[0]) / self.network.plan.spacing_mm

    def _serving(self, asked: str, volume: torch.Tensor, grid: Grid) -> tuple[DeformationNetwork, str | None]:
        """The network that answers for a volume (1, 1, k, j, i) on its grid, and for which population; None if for all
        alike. Raises SegmentationError if it has no answer for the one asked for."""
        network = self.network
        if not network.populations:
            return network, None
        if asked == AUTO:
            asked = network.population_of(volume, float(grid.spacing_mm[0]))
        if asked not in network.populations:
            known = ", ".join((AUTO, *network.populations))
            raise SegmentationError(
                _("The model knows no population {asked}; known to it are {known}.").format(
                    asked=repr(asked), known=known
                )
            )
        return network.for_population(asked), asked

    def _by_network(
        self, image: Image, turned: list[tuple[np.ndarray, Grid]], method: str, asked: str, job: Job
    ) -> FoundKidney:
        """What the network of a population finds at several scales, in the orientation in which the network itself
        expects the best fit: so "auto" gives what the population that it chooses would give if asked for."""
        import torch

        from .scales import View, found_at_scales, found_best

        def given(volume: np.ndarray) -> torch.Tensor:
            volume = np.ascontiguousarray(volume)  # torch takes no reversed axes
            return torch.from_numpy(volume)[None, None].to(self.network.template_modes.device)

        with torch.inference_mode():
            best = 0
            if len(turned) > 1:
                expected = []
                for n, (volume, _grid) in enumerate(turned):
                    job.progress(0.5 * n / len(turned), _("finding the probe"))
                    expected.append(float(self.network.expect(given(volume))[1]))
                best = int(np.argmax(expected))
            job.progress(0.5, _("finding the kidney"))
            volume, grid = turned[best]
            whole = given(volume)
            network, population = self._serving(asked, whole, grid)

            def seen(view: View) -> torch.Tensor:
                return whole if view == View(1.0) else given(to_grid(image, grid.zoomed(view.ratio, view.offset)))

            # what is likeliest elsewhere is not the map's own answer
            find = found_at_scales if method == "unet" else found_best
            deformation = find(network, seen, float(grid.spacing_mm[0]))
            scores, phi = deformation.scores[0, 0].cpu().numpy(), deformation.phi[0, 0].cpu().numpy()
            phi = self._scale(grid) * phi
            least_jacobian = float(deformation.least_jacobian())
            slope, offset = self.calibration
            confidence = float(torch.sigmoid(slope * deformation.quality + offset))
        if method == "unet":
            phi, modes, least_jacobian = distance_of_scores(scores, grid), None, 1.0
        else:
            modes = posed_modes(network, deformation, network.plan.spacing_mm, self._scale(grid))
        notes = []
        if confidence < self.least_confidence:
            notes.append(
                _(
                    "Low confidence ({confidence}; usual is {usual} or more): there may be no kidney in this volume. "
                    "Check the result before you use it."
                ).format(confidence=f"{confidence:.2f}", usual=f"{self.least_confidence:.2f}")
            )
        elif len(turned) > 1:
            notes.append(
                _(
                    "No cone of an ultrasound probe is visible: its direction was guessed, and if this is no "
                    "ultrasound, the confidence means nothing. Check the result before you use it."
                )
            )
        if population is None and asked != AUTO:
            notes.append(
                _("This model answers for all alike: it makes no difference that {asked} was asked for.").format(
                    asked=repr(asked)
                )
            )
        note, phi = joined(" ", notes) or None, one_piece(phi, method)
        return FoundKidney(image, grid, method, phi, confidence, least_jacobian, note, modes, population)

    def _classical(self, image: Image, grid: Grid, volume: np.ndarray, seed_mm: np.ndarray, job: Job) -> FoundKidney:
        import torch

        from .implicit import segment_from_click

        modes = self.network.template_modes
        with torch.no_grad():
            mean = self.network.shape(torch.zeros(1, len(modes), device=modes.device))[0, 0].cpu().numpy()
        template = Template(mean, modes.cpu().numpy(), np.zeros(len(modes)), self.network.spacing_mm)
        answer = segment_from_click(volume, grid, template, seed_mm, job)
        note = _(
            "The classical method fits a kidney's shape around the seed point, whatever is there: its result is no "
            "evidence of a kidney."
        )
        least_jacobian = float(answer.deformation.least_jacobian())
        posed = posed_modes(self.network, answer.deformation, float(grid.spacing_mm[0]), 1.0)
        phi = one_piece(answer.phi, "classical")
        return FoundKidney(image, grid, "classical", phi, answer.confidence, least_jacobian, note, posed)


def distance_of_scores(scores: np.ndarray, grid: Grid) -> np.ndarray:
    """Signed distance (k, j, i), mm, positive inside, of the largest piece of scores > 0 (k, j, i), without its holes.
    Raises SegmentationError if there is none."""
    inside = ndi.binary_fill_holes(one_piece(scores, "unet") > 0)
    return redistanced(np.where(inside, np.abs(scores), -np.abs(scores)), float(grid.spacing_mm[0]))


def posed_modes(network: DeformationNetwork, found: Deformation, spacing_mm: float, scale: float) -> np.ndarray | None:
    """The template's modes of variation as they were posed and deformed with it: psi o L o G.

    Args:
        spacing_mm: of the grid, for `found`. scale: mm of the grid for each mm of `found`.

    Returns:
        (M, k, j, i) change of phi on the grid, mm, by one standard deviation of each of the first modes, or None.
    """
    import torch

    from .transforms import centre_of, points_of, pose_matrix, sample, transform

    modes, shape = network.template_modes[None, :MODES].to(found.phi.device), found.phi.shape[2:]
    if not modes.shape[1]:
        return None
    with torch.inference_mode():
        matrix = pose_matrix(found.pose, centre_of(shape, spacing_mm), centre_of(modes.shape[2:], network.spacing_mm))
        points = transform(points_of(shape, spacing_mm, matrix), matrix)
        points = points + sample(found.displacement, points, found.lattice_mm).movedim(1, -1)
        enlarged = torch.linalg.det(matrix[:, :3, :3]) ** (1 / 3)  # distances, as in `pulled`
        return (sample(modes, points, network.spacing_mm) * (scale / enlarged))[0].cpu().numpy()


def check_request(image: Image, method: str, seed_point_mm, population: str) -> None:
    """Raises SegmentationError for a method, seed point or population with which `segment` could not begin."""
    if why := why_not(method, population):
        raise SegmentationError(why)
    if method == "classical" and seed_point_mm is None:
        raise SegmentationError(
            _("The classical method needs a seed point: R, A, S in mm near the middle of the kidney.")
        )
    if method != "classical" and seed_point_mm is not None:
        raise SegmentationError(
            _(
                "The {method} method takes no seed point; the classical one does: R, A, S in mm near the middle of the "
                "kidney."
            ).format(method=method)
        )
    if seed_point_mm is None:
        return
    try:
        seed = np.array(seed_point_mm, float)
    except (TypeError, ValueError):
        seed = np.zeros(0)
    if seed.shape != (3,) or not np.isfinite(seed).all():
        raise SegmentationError(
            _("A seed point is three numbers, R, A, S in mm; given is {given}.").format(given=repr(seed_point_mm))
        )
    ijk = image.ijk_of(seed)
    if (ijk < -0.5).any() or (ijk > np.array(image.shape[::-1]) - 0.5).any():
        raise SegmentationError(
            _("The seed point {point} (R, A, S in mm) lies outside the volume.").format(point=seed.tolist())
        )
