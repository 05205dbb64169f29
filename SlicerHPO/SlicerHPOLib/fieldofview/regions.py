"""The region decision: from each slice's class probabilities to a volume's regions and the boundaries between them.

Bertrand 2019, section 2.6.4. Along the body the regions come in anatomical order, each in one piece, and a volume shows
some run of them: any may be missing at the ends, none is skipped in between. Among all such chains of regions the
decision takes the one with the largest integral of the probability of the region over the axis (eq. 2.23),

    score = sum over regions r of the integral over r of p_r(s) ds = sum over slices n of w_n p[n, label_n]    (mm),

where w_n is the slice's share of the axis, so that uneven spacing counts as it should. The source searches among the
crossings of adjacent classes, where any optimum must lie (eq. 2.25); dynamic programming (`chains`) finds the optimum
exactly, in time O(slices x regions), also under a minimum region length and with boundaries that a user has fixed.

How sure it is of each boundary and region comes from the same dynamic programme, summed over all chains with
P(chain) ~ exp(score / correlation length) x prior; see `chains` for the prior.

The rival hypothesis is a volume of the spine: one class throughout. The more probable one decides. The two are taken
to be equally likely beforehand, and the body's half to be shared among its chains by their prior: the body is not
believed more because it has more ways to explain a volume, as it would be if the larger score decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

import numpy as np

from ..words import _
from .chains import best_chain, chains_with, posterior

BODY = ("legs", "pelvis", "abdomen", "chest", "head")  # inferior to superior
SPINE = "spine"
CLASSES = (*BODY, SPINE)


class RegionError(ValueError):
    """The probabilities, positions, parameters or fixed boundaries do not describe a volume that can be decided."""


@dataclass(frozen=True)
class DecisionModel:
    """Parameters of the decision, in mm. A bundle stores them as JSON; ``decide(..., **asdict(model))`` uses them.

    Attributes:
        sigma_mm: standard deviation of the Gaussian that smooths the probabilities along S; 0 leaves them as they are.
        min_length_mm: least length of a region; a single region that fills the volume may be shorter.
        correlation_length_mm: length over which neighbouring slices err together, so that they count as one independent
            witness. It sets the confidence, and so which hypothesis is believed, but no boundary.
        interval_margin_mm: by which the posterior's intervals are widened at both ends so that 95 % of them hold the
            boundary: no single correlation length is right for easy and hard volumes alike. Calibrated (conformalised
            quantiles, Romano et al. 2019).
    """

    sigma_mm: float = 10.0
    min_length_mm: float = 20.0
    correlation_length_mm: float = 20.0
    interval_margin_mm: float = 0.0

    def __post_init__(self):
        for name, value in vars(self).items():
            if not isinstance(value, Real) or not np.isfinite(value) or value < 0:
                raise RegionError(
                    _("{name} is {value}; expected a length in mm, 0 or more.").format(name=name, value=repr(value))
                )
        if self.correlation_length_mm == 0:
            raise RegionError(_("correlation_length_mm is 0; expected a length in mm above 0."))


@dataclass(frozen=True)
class Boundary:
    """A boundary between two adjacent regions.

    `position_mm` lies along S; `interval_mm` holds the position with 95 % probability, given that the volume shows the
    boundary; `confidence` is the probability that it does. A boundary that a user fixed is certain, where it was put.
    """

    lower: str
    upper: str
    position_mm: float
    interval_mm: tuple[float, float]
    confidence: float
    fixed: bool = False

    @property
    def name(self) -> str:
        """Both regions, inferior first: "abdomen/chest"."""
        return f"{self.lower}/{self.upper}"


@dataclass(frozen=True)
class Region:
    """A region from `from_mm` up to `to_mm` along S, of slices `first_slice` to `last_slice` (both included).

    `confidence` is the probability that the volume shows the region at all.
    """

    name: str
    from_mm: float
    to_mm: float
    first_slice: int
    last_slice: int
    confidence: float

    @property
    def length_mm(self) -> float:
        """Extent along S."""
        return self.to_mm - self.from_mm


@dataclass(frozen=True, eq=False)
class Decision:
    """What a volume shows, inferior to superior.

    Attributes:
        regions: the regions in view; the one region "spine" if the hypothesis is the spine.
        boundaries: the boundaries between the regions.
        labels: (N,) int8, index into `CLASSES` of each slice; -1 for slices without tissue.
        posterior: (N, 6) probability of each class at each slice, over all chains and both hypotheses; 0 for slices
            without tissue.
        smoothed: (N, 6) the probabilities that were decided on.
        hypothesis: "body" or "spine".
        confidence: probability of the hypothesis.
        score_mm: integral of the probability of the decided class over the axis; at most the length of the axis.
    """

    regions: tuple[Region, ...]
    boundaries: tuple[Boundary, ...]
    labels: np.ndarray
    posterior: np.ndarray
    smoothed: np.ndarray
    hypothesis: str
    confidence: float
    score_mm: float

    @property
    def main_region(self) -> Region:
        """The longest region."""
        return max(self.regions, key=lambda region: region.length_mm)


def decide(
    probabilities: np.ndarray,
    positions_mm: np.ndarray,
    tissue: np.ndarray | None = None,
    *,
    sigma_mm: float = DecisionModel.sigma_mm,
    min_length_mm: float = DecisionModel.min_length_mm,
    correlation_length_mm: float = DecisionModel.correlation_length_mm,
    interval_margin_mm: float = DecisionModel.interval_margin_mm,
    fixed: Mapping[str, float] | None = None,
) -> Decision:
    """Decide which regions a volume shows and where they meet (Bertrand 2019, section 2.6.4; see the module's text).

    Args:
        probabilities: (N, 6) class probabilities of axial slices, inferior to superior, in the order of `CLASSES`.
        positions_mm: (N,) positions of the slice centres along S, increasing, maybe unevenly spaced. A volume of one
            slice counts as 1 mm.
        tissue: (N,) bool; slices without tissue join no region, their probabilities are ignored. None: all have tissue.
        sigma_mm, min_length_mm, correlation_length_mm, interval_margin_mm: see `DecisionModel`.
        fixed: boundaries that a user has set, such as ``{"abdomen/chest": -120.0}``: names in either order, position in
            mm along S. The volume then shows both regions, the lower one up to the position and the upper one from
            there (a slice centred on it included), and is not taken for a spine. The other boundaries are optimised
            around it. The user's word beats the minimum length: regions next to and between fixed boundaries may be
            shorter.

    Raises:
        RegionError: inputs of a wrong shape or value, no tissue, or fixed boundaries that no chain of regions can have.
    """
    model = DecisionModel(sigma_mm, min_length_mm, correlation_length_mm, interval_margin_mm)
    probabilities, positions, tissue = _checked(probabilities, positions_mm, tissue)
    smoothed = _smooth(probabilities, positions, tissue, model.sigma_mm)
    slices = np.flatnonzero(tissue)
    p, s, weights = smoothed[slices], positions[slices], np.diff(_faces(positions))[slices]
    fixed_mm = _fixed_boundaries(fixed or {}, s)

    scores = weights[:, None] * p
    body_scores, spine_score = scores[:, : len(BODY)], scores[:, -1].sum()
    fixed_cuts = {lower: int(np.searchsorted(s, position)) for lower, position in fixed_mm.items()}
    chains = chains_with(s, weights, len(BODY), model.min_length_mm, fixed_cuts)
    body_score, labels = best_chain(body_scores, chains)
    body = posterior(body_scores / model.correlation_length_mm, chains)
    if fixed_mm:
        is_spine, p_spine = False, 0.0
    else:
        p_spine = float(np.exp(-np.logaddexp(0.0, body.log_evidence - spine_score / model.correlation_length_mm)))
        is_spine = p_spine > 0.5
    presence = np.append((1.0 - p_spine) * body.presence, p_spine)

    boundaries = []
    if is_spine:
        labels = np.full(len(s), CLASSES.index(SPINE), np.int8)
    for cut in np.flatnonzero(np.diff(labels)) + 1:
        lower = int(labels[cut - 1])
        names = BODY[lower], BODY[lower + 1]
        if lower in fixed_mm:
            position = fixed_mm[lower]
            boundaries.append(Boundary(*names, position, (position, position), confidence=1.0, fixed=True))
        else:
            position = _crossing(s[cut - 1 : cut + 1], p[cut - 1 : cut + 1, lower] - p[cut - 1 : cut + 1, lower + 1])
            confidence = min(float((1.0 - p_spine) * body.cuts[lower].sum()), 1.0)
            interval = _interval(body.cuts[lower], s, model.interval_margin_mm)
            boundaries.append(Boundary(*names, position, interval, confidence))

    volume_posterior = np.zeros_like(smoothed)
    volume_posterior[slices] = np.column_stack([(1.0 - p_spine) * body.marginals, np.full(len(s), p_spine)])
    volume_labels = np.full(len(positions), -1, np.int8)
    volume_labels[slices] = labels
    return Decision(
        regions=_regions(volume_labels, positions, boundaries, presence),
        boundaries=tuple(boundaries),
        labels=volume_labels,
        posterior=volume_posterior,
        smoothed=smoothed,
        hypothesis=SPINE if is_spine else "body",
        confidence=p_spine if is_spine else 1.0 - p_spine,
        score_mm=float(spine_score if is_spine else body_score),
    )


def smooth(probabilities: np.ndarray, positions_mm: np.ndarray, tissue: np.ndarray, sigma_mm: float) -> np.ndarray:
    """Smooth the probabilities along S with a Gaussian (Bertrand 2019, figure 2.16-c).

    Each slice takes the mean of its neighbours with tissue, weighted by the Gaussian of their distance and by their
    share of the axis (normalised convolution): rows sum to 1 as before, also at the ends, beside gaps and at uneven
    spacing.

    Args:
        probabilities, positions_mm, tissue: as for `decide`.
        sigma_mm: standard deviation of the Gaussian; 0 returns the probabilities as they are.

    Returns:
        (N, 6) float64; rows without tissue are unchanged.

    Raises:
        RegionError: as `decide`.
    """
    return _smooth(*_checked(probabilities, positions_mm, tissue), DecisionModel(sigma_mm=sigma_mm).sigma_mm)


def _smooth(probabilities: np.ndarray, positions: np.ndarray, tissue: np.ndarray, sigma_mm: float) -> np.ndarray:
    if sigma_mm == 0:
        return probabilities
    s, weights = positions[tissue], np.diff(_faces(positions))[tissue]
    reach = 4 * sigma_mm  # beyond it lie 6e-5 of a Gaussian
    half = int((np.searchsorted(s, s + reach, side="right") - np.arange(len(s))).max()) - 1
    # Windows of 2 half + 1 slices; the slices that pad the ends are infinitely far away.
    windows = np.lib.stride_tricks.sliding_window_view
    gauss = (windows(np.pad(s, half, constant_values=np.inf), 2 * half + 1) - s[:, None]) / sigma_mm
    gauss *= gauss  # in place: fresh memory takes longer than the arithmetic
    gauss *= -0.5
    np.exp(gauss, out=gauss)
    values = np.vstack([probabilities[tissue].T, np.ones(len(s))]) * weights
    sums = np.einsum("nw,cnw->nc", gauss, windows(np.pad(values, ((0, 0), (half, half))), 2 * half + 1, axis=1))
    smoothed = probabilities.copy()
    smoothed[tissue] = sums[:, :-1] / sums[:, -1:]
    return smoothed


def _faces(positions: np.ndarray) -> np.ndarray:
    """(N + 1,) where the slices' shares of the axis meet: half-way to the neighbours, and as far beyond the ends."""
    if len(positions) == 1:
        return positions + np.array([-0.5, 0.5])
    middles = (positions[1:] + positions[:-1]) / 2
    return np.concatenate([[2 * positions[0] - middles[0]], middles, [2 * positions[-1] - middles[-1]]])


def _crossing(s: np.ndarray, difference: np.ndarray) -> float:
    """Where the lower region's probability falls below the upper one's: `difference` (2,) at slice centres `s` (2,).

    At an optimum the two are equal (eq. 2.25); linear in between. Where they do not cross, the minimum length holds the
    boundary, and the middle of the gap is as good a place as any.
    """
    below, above = difference
    part = below / (below - above) if below >= 0 >= above and below > above else 0.5
    return float(s[0] + part * (s[1] - s[0]))


def _interval(cuts: np.ndarray, s: np.ndarray, margin_mm: float) -> tuple[float, float]:
    """Central 95 % of a boundary's position, each cut's probability spread evenly between its two slices; widened by
    the margin at both ends, within the volume."""
    distribution = np.cumsum(cuts[:-1])  # at the slice centres; cut 0 is no boundary
    low, high = np.interp(np.array([0.025, 0.975]) * distribution[-1], distribution, s)
    return float(max(low - margin_mm, s[0])), float(min(high + margin_mm, s[-1]))


def _regions(labels, positions, boundaries, presence) -> tuple[Region, ...]:
    """The regions of labels (N,): they meet at `boundaries` and end at the outer faces of the end slices."""
    faces, slices = _faces(positions), np.flatnonzero(labels >= 0)
    ends = [faces[slices[0]], *(boundary.position_mm for boundary in boundaries), faces[slices[-1] + 1]]
    regions = []
    for label, (from_mm, to_mm) in zip(np.unique(labels[slices]), pairwise(ends), strict=True):
        first, last = np.flatnonzero(labels == label)[[0, -1]]
        regions.append(
            Region(CLASSES[label], float(from_mm), float(to_mm), int(first), int(last), float(presence[label]))
        )
    return tuple(regions)


def _checked(probabilities, positions_mm, tissue) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inputs as arrays, float64 (N, 6), float64 (N,) and bool (N,), or a `RegionError` that says what is wrong."""
    try:
        probabilities, positions = np.array(probabilities, float), np.array(positions_mm, float)
    except (TypeError, ValueError) as error:
        raise RegionError(
            _("Probabilities and positions must be arrays of numbers: {error}").format(error=error)
        ) from error
    if probabilities.ndim != 2 or probabilities.shape[1] != len(CLASSES) or len(probabilities) == 0:
        raise RegionError(
            _("Probabilities have shape {shape}; expected (slices, {count}): {classes}.").format(
                shape=probabilities.shape, count=len(CLASSES), classes=", ".join(CLASSES)
            )
        )
    n = len(probabilities)
    if positions.shape != (n,):
        raise RegionError(
            _("Positions have shape {shape}; expected ({n},), one for each row of probabilities.").format(
                shape=positions.shape, n=n
            )
        )
    if not np.isfinite(positions).all():
        raise RegionError(
            _("{count} of {n} slice positions are not finite.").format(count=(~np.isfinite(positions)).sum(), n=n)
        )
    if not (np.diff(positions) > 0).all():
        i = int(np.argmin(np.diff(positions) > 0))
        raise RegionError(
            _(
                "Slice positions must increase, from inferior to superior, but slice {i} is at {position} mm and slice "
                "{next} at {next_position} mm. Sort the slices by their position along S."
            ).format(i=i, position=f"{positions[i]:g}", next=i + 1, next_position=f"{positions[i + 1]:g}")
        )
    tissue = np.ones(n, bool) if tissue is None else np.asarray(tissue)
    if tissue.shape != (n,) or tissue.dtype != bool:
        raise RegionError(
            _("Tissue is {dtype} of shape {shape}; expected bool of shape ({n},).").format(
                dtype=tissue.dtype, shape=tissue.shape, n=n
            )
        )
    if not tissue.any():
        raise RegionError(_("None of the {n} slices shows tissue; there is nothing to decide.").format(n=n))
    rows = probabilities[tissue]
    bad = ~np.isfinite(rows).all(axis=1) | (rows < 0).any(axis=1)
    if bad.any():
        raise RegionError(
            _("Probabilities of {bad} of {count} slices with tissue are negative or not finite.").format(
                bad=bad.sum(), count=len(rows)
            )
        )
    sums = rows.sum(axis=1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums[worst] - 1) > 1e-3:
        raise RegionError(
            _("The probabilities of slice {slice} sum to {sum}; expected 1. Give the output of the softmax.").format(
                slice=np.flatnonzero(tissue)[worst], sum=f"{sums[worst]:g}"
            )
        )
    return probabilities, positions, tissue


def _fixed_boundaries(fixed: Mapping[str, float], s: np.ndarray) -> dict[int, float]:
    """Positions in mm of the fixed boundaries, by the index of the lower region; `s` (N,): slices with tissue."""
    adjacent = [f"{lower}/{upper}" for lower, upper in pairwise(BODY)]
    choose = _("Choose among {known}.").format(known=", ".join(adjacent))
    boundaries: dict[int, float] = {}
    for name, position in fixed.items():
        names = str(name).split("/")
        unknown = [part for part in names if part not in BODY]
        if unknown:
            raise RegionError(
                _("Fixed boundary {name}: no region of the body is called {unknown}. {choose}").format(
                    name=repr(name), unknown=repr(unknown[0]), choose=choose
                )
            )
        lower, *rest = sorted(BODY.index(part) for part in names)
        if rest != [lower + 1]:
            raise RegionError(
                _("Fixed boundary {name} does not name two adjacent regions. {choose}").format(
                    name=repr(name), choose=choose
                )
            )
        if lower in boundaries:
            raise RegionError(_("Fixed boundary {name} is given twice.").format(name=adjacent[lower]))
        if not isinstance(position, Real) or not s[0] < position <= s[-1]:
            raise RegionError(
                _(
                    "Fixed boundary {name} is at {position}; expected a position along S within the volume, with "
                    "slices that show tissue on both sides: above {low} and up to {high} mm."
                ).format(name=repr(name), position=repr(position), low=f"{s[0]:g}", high=f"{s[-1]:g}")
            )
        boundaries[lower] = float(position)
    for (low, low_mm), (high, high_mm) in pairwise(sorted(boundaries.items())):
        pair = _("Fixed boundaries {low} at {low_mm} mm and {high} at {high_mm} mm").format(
            low=adjacent[low], low_mm=f"{low_mm:g}", high=adjacent[high], high_mm=f"{high_mm:g}"
        )
        if low_mm >= high_mm:
            raise RegionError(
                _("{pair} contradict the order of the regions, going up: {regions}.").format(
                    pair=pair, regions=", ".join(BODY)
                )
            )
        between = np.count_nonzero((s >= low_mm) & (s < high_mm))
        if between < high - low:
            raise RegionError(
                _(
                    "{pair} leave {between} slices with tissue to the {length} regions between them; each needs one. "
                    "Move them apart."
                ).format(pair=pair, between=between, length=high - low)
            )
    return boundaries
