"""A volume's field of view as a figure: coronal and sagittal view beside the class probabilities along the body.

The three panels share one axis, S in mm, at one scale, so a boundary is one straight line through all of them. The
views are in radiological convention (patient's right on the left; anterior on the left) and keep their proportions in
mm. A view is the volume's own middle plane, projected along the third direction: an oblique slab is shown whole, at its
true R, A and S.

matplotlib belongs to the training extra; only drawing needs it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..figurefile import require_matplotlib, save_figure
from ..image import Image, reorient_to_ras
from .regions import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .classifier import FieldOfView

# Okabe and Ito's palette, in the order that keeps neighbours in the body farthest apart for colour-blind readers.
COLOURS = {
    "legs": "#0072B2",
    "pelvis": "#E69F00",
    "abdomen": "#56B4E9",
    "chest": "#D55E00",
    "head": "#CC79A7",
    "spine": "#009E73",
}
_AIR = {"facecolor": "0.85", "edgecolor": "0.7", "hatch": "////", "linewidth": 0}  # slices without tissue
_INTERVAL = {"facecolor": "0.92", "linewidth": 0}  # where a boundary lies with 95 % probability
_TINT = 0.45  # how much of a region's colour is mixed into the picture
_PIXELS = 1000  # longest side of a view

# Inches. The views take what is left to them; the curves and the margins do not scale.
_VIEWS_WIDTH, _VIEWS_HEIGHT = 6.2, 7.0  # at most, both views together
_PANEL_WIDTH, _PANEL_HEIGHT = 0.75, 1.5  # at least, one panel: below it words no longer fit
_CURVES_WIDTH, _NAMES_WIDTH = 2.1, 1.75
_LEFT, _RIGHT, _TITLE, _TOP, _BOTTOM, _GAP = 0.62, 0.1, 0.25, 0.28, 0.8, 0.12
_SMALL, _TEXT = 7, 8  # points


def write_figure(image: Image, answer: FieldOfView, path: str | os.PathLike, title: str = "") -> Path:
    """Draws and writes the figure as PNG, PDF or SVG, by the ending of `path`. Raises `FigureError`."""
    return save_figure(lambda: draw(image, answer, title), path)


def draw(image: Image, answer: FieldOfView, title: str = "") -> Figure:
    """The figure of a volume and its answer; it belongs to no window. Raises `FigureError` without matplotlib."""
    require_matplotlib()
    from matplotlib.figure import Figure

    canonical = reorient_to_ras(image)
    coronal, sagittal = middle_view(canonical, 0), middle_view(canonical, 1)
    low, high = np.transpose([_extent(answer.positions_mm), coronal.extent_mm[2:], sagittal.extent_mm[2:]])
    low, high = low.min(), high.max()
    widths = [view.extent_mm[1] - view.extent_mm[0] for view in (coronal, sagittal)]
    scale = min(_VIEWS_WIDTH / sum(widths), _VIEWS_HEIGHT / (high - low))  # inches a mm
    height = max(scale * (high - low), _PANEL_HEIGHT)
    margin = (height / scale - (high - low)) / 2
    panels = [max(scale * width, _PANEL_WIDTH) for width in widths] + [_CURVES_WIDTH]

    top = _TOP + (_TITLE if title else 0)
    total = (_LEFT + sum(panels) + 2 * _GAP + _NAMES_WIDTH + _RIGHT, top + height + _BOTTOM)
    figure = Figure(figsize=total, facecolor="white")
    axes: list[Axes] = []
    left = _LEFT
    for width in panels:
        box = (left / total[0], _BOTTOM / total[1], width / total[0], height / total[1])
        axes.append(figure.add_axes(box, sharey=axes[0] if axes else None))
        left += width + _GAP
    axes[0].set_ylim(low - margin, high + margin)

    for axis, view, width in zip(axes, (coronal, sagittal), panels, strict=False):
        _draw_view(axis, view, answer, width / scale)
    _draw_curves(axes[2], answer)
    for axis in axes:
        axis.tick_params(labelsize=_SMALL, length=2.5, width=0.6, labelleft=axis is axes[0])
        for spine in axis.spines.values():
            spine.set_linewidth(0.6)
    axes[0].set_ylabel("S (mm)", fontsize=_TEXT)
    for boundary in answer.decision.boundaries:
        for axis, colour in zip(axes, ("white", "white", "black"), strict=True):
            axis.axhline(boundary.position_mm, color=colour, linewidth=0.9, linestyle="--" if boundary.fixed else "-")
    _draw_names(axes[2], answer, line_mm=1.25 * _SMALL / 72 / scale)
    _draw_legend(figure, answer, total)
    if title:
        figure.text(_LEFT / total[0], 1 - 0.1 / total[1], title, fontsize=9, va="top", weight="bold", parse_math=False)
    return figure


@dataclass(frozen=True, eq=False)
class View:
    """One picture of a volume in the plane of S and a second direction, on a regular grid in mm.

    Attributes:
        pixels: (rows, columns) float32 in [0, 1], rows inferior to superior; NaN outside the volume.
        extent_mm: edges: lowest and highest R or A, lowest and highest S.
        across: 0 if the columns run along R (a coronal view), 1 along A (a sagittal one).
        offset_mm: A or R of the plane's centre.
    """

    pixels: np.ndarray
    extent_mm: tuple[float, float, float, float]
    across: int
    offset_mm: float


def middle_view(canonical: Image, across: int) -> View:
    """The middle plane of a volume whose axes are nearest to R, A, S, seen along A (`across` 0) or R (`across` 1).

    The middle is the plane nearest to the centre that shows at least half as much tissue as the fullest plane: between
    two legs there is nothing to see.
    """
    from scipy.ndimage import affine_transform

    along = 1 - across  # the voxel axis we look along
    stack = np.moveaxis(canonical.voxels, 2 - along, 0)  # (plane, k, i or j)
    plane = _fullest_near_middle(stack)
    picture = _to_grey(stack[plane])

    # The picture's index (k, column) -> (S, across) in mm; the plane's own obliquity is projected away.
    affine = canonical.ijk_to_ras
    rows = [2, across]
    matrix = affine[np.ix_(rows, [2, across])]
    shift = affine[rows, 3] + affine[rows, along] * plane
    corners = np.array([[k, c] for k in (-0.5, picture.shape[0] - 0.5) for c in (-0.5, picture.shape[1] - 0.5)])
    corners_mm = corners @ matrix.T + shift
    low, high = corners_mm.min(0), corners_mm.max(0)
    step = max(min(canonical.spacing_mm[2], canonical.spacing_mm[across]), (high - low).max() / _PIXELS)
    shape = np.maximum(np.round((high - low) / step).astype(int), 1)
    steps = (high - low) / shape
    inverse = np.linalg.inv(matrix)
    to_index = inverse * steps  # (row, column) of the view -> (k, column) of the picture
    offset = inverse @ (low + steps / 2 - shift)
    pixels = affine_transform(picture, to_index, offset, tuple(shape), order=1, mode="nearest")
    inside = affine_transform(np.ones_like(picture), to_index, offset, tuple(shape), order=0, mode="grid-constant")
    centre = affine[:3, :3] @ np.array([(n - 1) / 2 for n in canonical.voxels.shape[::-1]]) + affine[:3, 3]
    offset_mm = centre[along] + affine[along, along] * (plane - (stack.shape[0] - 1) / 2)
    extent = (float(low[1]), float(high[1]), float(low[0]), float(high[0]))
    return View(np.where(inside > 0.5, pixels, np.nan).astype(np.float32), extent, across, float(offset_mm))


def _fullest_near_middle(stack: np.ndarray) -> int:
    step = np.maximum(np.array(stack.shape) // 96, 1)
    coarse = stack[:, :: step[1], :: step[2]].astype(np.float32)
    floor, bright = np.percentile(coarse, (1, 99))
    tissue = (coarse > floor + 0.15 * (bright - floor)).mean((1, 2))
    enough = np.flatnonzero(tissue >= 0.5 * tissue.max())
    return int(enough[np.argmin(np.abs(enough - (len(stack) - 1) / 2))])


def _to_grey(picture: np.ndarray) -> np.ndarray:
    """Intensities between the percentiles 1 and 99.5 as 0..1, brightened: fat near a coil outshines all else."""
    picture = picture.astype(np.float32)
    low, high = np.percentile(picture, (1, 99.5))
    return np.clip((picture - low) / max(high - low, 1e-20), 0, 1) ** 0.8


def _draw_view(axis: Axes, view: View, answer: FieldOfView, width_mm: float) -> None:
    left, right, bottom, top = view.extent_mm
    axis.imshow(_tinted(view, answer), extent=view.extent_mm, origin="lower", aspect="auto", interpolation="bilinear")
    margin = (width_mm - (right - left)) / 2
    axis.set_xlim(right + margin, left - margin)  # right, and anterior, on the left
    name, letters, third = ("Coronal", "RL", "AP") if view.across == 0 else ("Sagittal", "AP", "RL")
    axis.set_title(f"{name}, {third[view.offset_mm < 0]} {abs(view.offset_mm):.0f} mm", fontsize=_TEXT, pad=3)
    axis.set_xlabel(f"{letters[0]} (mm)", fontsize=_TEXT, labelpad=1)
    axis.locator_params(axis="x", nbins=max(2, min(5, int(width_mm // 60))), prune="both")
    middle, centre = (left + right) / 2, (bottom + top) / 2
    _letter(axis, right, centre, (3, 0), letters[0])
    _letter(axis, left, centre, (-3, 0), letters[1])
    _letter(axis, middle, top, (0, -3), "S")
    _letter(axis, middle, bottom, (0, 3), "I")


def _tinted(view: View, answer: FieldOfView) -> np.ndarray:
    """(rows, columns, 4): the picture with each row in the colour of its region, transparent outside the volume."""
    from matplotlib.colors import to_rgb

    inside = np.isfinite(view.pixels)
    grey = np.where(inside, view.pixels, 1)[..., None]
    picture = np.concatenate([grey, grey, grey, inside[..., None]], axis=2)
    bottom, top = view.extent_mm[2:]
    rows_mm = bottom + (np.arange(len(grey)) + 0.5) * (top - bottom) / len(grey)
    for region in answer.decision.regions:
        rows = (rows_mm >= region.from_mm) & (rows_mm <= region.to_mm)
        picture[rows, :, :3] *= 1 - _TINT
        picture[rows, :, :3] += _TINT * np.array(to_rgb(COLOURS[region.name])) * (0.3 + 0.7 * grey[rows])
    return picture


def _letter(axis: Axes, x: float, y: float, inwards: tuple[int, int], letter: str) -> None:
    from matplotlib.patheffects import withStroke

    axis.annotate(
        letter,
        (x, y),
        xytext=inwards,
        textcoords="offset points",
        ha={3: "left", 0: "center", -3: "right"}[inwards[0]],
        va={3: "bottom", 0: "center", -3: "top"}[inwards[1]],
        fontsize=_SMALL,
        color="white",
        weight="bold",
        path_effects=[withStroke(linewidth=1.4, foreground="black")],
    )


def _draw_curves(axis: Axes, answer: FieldOfView) -> None:
    for boundary in answer.decision.boundaries:
        axis.axhspan(*boundary.interval_mm, **_INTERVAL)
    for low, high in _air(answer):
        axis.axhspan(low, high, **_AIR)
    for label, name in enumerate(CLASSES):
        for values, style in (
            (answer.probabilities, {"linewidth": 0.6, "alpha": 0.5}),
            (answer.decision.smoothed, {"linewidth": 1.5}),
        ):
            known = np.where(answer.tissue, values[:, label], np.nan)
            axis.plot(known, answer.positions_mm, color=COLOURS[name], **style)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.get_xticklabels()[0].set_horizontalalignment("left")  # clear of the last number of the view beside it
    axis.set_title("Class probabilities", fontsize=_TEXT, pad=3)
    axis.set_xlabel("probability (bold: smoothed)", fontsize=_TEXT, labelpad=1)


def _draw_names(axis: Axes, answer: FieldOfView, line_mm: float) -> None:
    """Regions and boundaries at the right of the curves, in their order along the body, not on top of each other."""
    regions, boundaries = answer.decision.regions, answer.decision.boundaries
    names = [((r.from_mm + r.to_mm) / 2, f"{r.name} ({_percent(r.confidence)})", COLOURS[r.name]) for r in regions]
    for b in boundaries:
        low, high = b.interval_mm
        detail = "set by the user" if b.fixed else f"{_mm(low)} to {_mm(high)}"
        names.append((b.position_mm, f"{_mm(b.position_mm)} mm ({detail})", None))
    names.sort(key=lambda name: name[0])
    bottom, top = axis.get_ylim()
    places = spread([name[0] for name in names], line_mm, bottom + line_mm / 2, top - line_mm / 2)
    for (position, text, colour), place in zip(names, places, strict=True):
        line = None if colour else {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0}
        axis.annotate(
            text,
            (1, position),
            xycoords=("axes fraction", "data"),
            xytext=(1.1, place),
            textcoords=("axes fraction", "data"),
            fontsize=_SMALL if line else _TEXT,
            weight="normal" if line else "bold",
            color=colour or "black",
            va="center",
            arrowprops=line,
        )


def spread(positions: list[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels at increasing positions: in order, inside [low, high], `gap` apart or as far as fits."""
    if len(positions) > 1:
        gap = min(gap, (high - low) / (len(positions) - 1))
    places = np.array(positions, float)
    for index in range(len(places)):
        places[index] = max(places[index], low if index == 0 else places[index - 1] + gap)
    for index in reversed(range(len(places))):
        places[index] = min(places[index], high if index == len(places) - 1 else places[index + 1] - gap)
    return places.tolist()


def _draw_legend(figure: Figure, answer: FieldOfView, size: tuple[float, float]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=COLOURS[name], label=name) for name in CLASSES]
    if not all(boundary.fixed for boundary in answer.decision.boundaries):
        handles.append(Patch(**_INTERVAL, label="95 % interval of a boundary"))
    if not answer.tissue.all():
        handles.append(Patch(**_AIR, label="no tissue"))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=((_LEFT - 0.08) / size[0], 0.05 / size[1]),
        ncols=len(handles),
        fontsize=_SMALL,
        frameon=False,
        handlelength=1,
        columnspacing=1.1,
        handletextpad=0.5,
    )


def _mm(value: float) -> str:
    return f"{value:.0f}".replace("-", "\N{MINUS SIGN}")


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"


def _extent(positions: np.ndarray) -> tuple[float, float]:
    """Lowest and highest face of the slices; a lone slice counts as 1 mm, as in the decision."""
    first, last = (positions[1] - positions[0], positions[-1] - positions[-2]) if len(positions) > 1 else (1.0, 1.0)
    return float(positions[0] - first / 2), float(positions[-1] + last / 2)


def _air(answer: FieldOfView) -> list[tuple[float, float]]:
    """The stretches of the axis without tissue, in mm."""
    positions = answer.positions_mm
    low, high = _extent(positions)
    faces = np.concatenate([[low], (positions[1:] + positions[:-1]) / 2, [high]])
    starts = np.flatnonzero(np.diff(np.concatenate([[0], ~answer.tissue, [0]]).astype(int)) == 1)
    stops = np.flatnonzero(np.diff(np.concatenate([[0], ~answer.tissue, [0]]).astype(int)) == -1)
    return [(float(faces[start]), float(faces[stop])) for start, stop in zip(starts, stops, strict=True)]
