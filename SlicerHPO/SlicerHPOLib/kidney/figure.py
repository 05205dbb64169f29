"""A segmented kidney as a figure: three planes through it with its outline and measures, and its surface.

The planes have one scale and are arranged as in a technical drawing: the coronal one below the long-axis plane, the
transverse one beside it. Light grey is outside the volume. On the surface, dark lines show where the planes cut it.

matplotlib belongs to the training extra; only drawing needs it.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..figurefile import require_matplotlib, save_figure
from .spline import Spline
from .views import View, kidney_views, level_in, relief, shaded, slice_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .measures import Measures
    from .points import Points
    from .segmentation import KidneySegmentation

NEAR_MM = 5.0  # points are shown in a plane that they are this near to
# Okabe and Ito's palette: for colour-blind readers
OUTLINE, CALLIPERS, INSIDE, OUTSIDE, WARNING = "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00"
METHODS = {"deformation": "Template deformation", "unet": "U-Net", "classical": "Classical template deformation"}
CUT_MM = 0.5  # width of the planes' lines on the surface

_PIXELS = 640  # along the longest side
_OUTSIDE_VOLUME, _DARK = "0.88", "0.3"
# Inches
_PANELS = 7.2  # both columns
_EDGE, _GAP, _NAME, _LINE, _TITLE = 0.1, 0.1, 0.2, 0.17, 0.24
_LETTERS_AN_INCH = 15.5  # of text
_SMALL, _TEXT = 7, 8.5  # points


def write_figure(result: KidneySegmentation, path: str | os.PathLike, *, title: str = "") -> Path:
    """Draws and writes the figure as PNG, PDF or SVG, by the ending of `path`.

    Raises:
        FigureError: another ending, or matplotlib is missing.
        MeasureError: the segmentation is not one shape.
    """
    return save_figure(lambda: draw(result, title), path)


def draw(result: KidneySegmentation, title: str = "") -> Figure:
    """The figure of a segmentation; it belongs to no window. Raises as `write_figure`."""
    require_matplotlib()
    from matplotlib.figure import Figure

    *planes, surface = views = kidney_views(result.phi, result.grid, result.measures)
    (column, row), (second_column, _), (_, second_row), _ = (view.size_mm for view in views)
    scale = _PANELS / (column + second_column)  # inches a mm
    width = _PANELS + _GAP + 2 * _EDGE
    lines = text_of(result, letters=int(_LETTERS_AN_INCH * (width - 2 * _EDGE)))
    head = _EDGE + (_TITLE if title else 0) + _LINE * len(lines)
    foot = _EDGE + (_LINE if len(result.points) else 0)
    height = head + scale * (row + second_row) + 2 * _NAME + foot
    figure = Figure(figsize=(width, height), facecolor="white")

    lefts = _EDGE, _EDGE + scale * column + _GAP
    bottoms = foot + scale * second_row + _NAME, foot
    axes = []
    for view, (at_row, at_column) in zip(views, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        w, h = scale * (column, second_column)[at_column], scale * (row, second_row)[at_row]
        axes.append(figure.add_axes((lefts[at_column] / width, bottoms[at_row] / height, w / width, h / height)))
        axes[-1].set_title(view.name, fontsize=_TEXT, pad=3, loc="left")

    step = max(size for view in views for size in view.size_mm) / _PIXELS
    pictures = [slice_of(result.image, view, step) for view in planes]
    window = grey_window(pictures)
    level = Spline(result.phi, result.grid)
    for axis, view, picture in zip(axes, planes, pictures, strict=False):
        _draw_plane(axis, view, picture, window)
        _draw_outline(axis, view, level_in(level, view, 2 * step))
        _draw_callipers(axis, view, result.measures)
        _draw_points(axis, view, result.points)
        _draw_scale_bar(axis, view, bar_mm(second_column))
    _draw_surface(axes[3], surface, planes, result, step)
    for axis, view in zip(axes, views, strict=True):
        _draw_letters(axis, view, _DARK if view is surface else "white")
        _frame(axis, view)
    _write(figure, title, lines)
    if len(result.points):
        _draw_legend(figure)
    return figure


def text_of(result: KidneySegmentation, letters: int) -> list[tuple[str, bool]]:
    """Lines of about `letters` letters about a result, and whether each is a warning."""
    m = result.measures
    size = " \N{MULTIPLICATION SIGN} ".join(f"{mm:.0f}" for mm in (m.length_mm, m.width_mm, m.thickness_mm))
    inside, outside = int(result.points.inside.sum()), int((~result.points.inside).sum())
    corrected = f"; correction points: {inside} inside, {outside} outside" if inside or outside else ""
    facts = (
        f"Volume {_ml(m.volume_ml)} (ellipsoid formula {_ml(m.ellipsoid_volume_ml)}); "
        f"length \N{MULTIPLICATION SIGN} width \N{MULTIPLICATION SIGN} thickness {size} mm",
        f"{METHODS[result.method]}, confidence {result.confidence:.2f}{corrected}",
    )
    warnings = [f"Warning: {warning}" for warning in result.warnings]
    return [(line, text in warnings) for text in (*facts, *warnings) for line in textwrap.wrap(text, letters)]


def _ml(volume: float) -> str:
    return f"{volume:.0f} ml" if volume >= 10 else f"{volume:.2g} ml"


def grey_window(pictures: list[np.ndarray]) -> tuple[float, float]:
    """What is drawn black and white: percentiles 1 and 99.5 of what is seen, above the lowest value, which is that of a
    sector's surroundings."""
    values = np.concatenate([picture[np.isfinite(picture)] for picture in pictures])
    if not len(values):
        return 0.0, 1.0
    seen = values[values > values.min()]
    low, high = np.percentile(seen, (1, 99.5)) if len(seen) else (values[0], values[0])
    return (float(low), float(high)) if high > low else (float(values.min()), float(values.min()) + 1)


def _draw_plane(axis: Axes, view: View, picture: np.ndarray, window: tuple[float, float]) -> None:
    axis.set_facecolor(_OUTSIDE_VOLUME)
    shown = np.ma.masked_invalid(picture)
    low, high = window
    axis.imshow(
        shown,
        cmap="gray",
        vmin=low,
        vmax=high,
        extent=view.extent_mm,
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )


def _draw_outline(axis: Axes, view: View, level: np.ndarray) -> None:
    left, _, bottom, _ = view.extent_mm
    (rows, columns), (w, h) = level.shape, view.size_mm
    x = left + (np.arange(columns) + 0.5) * w / columns
    y = bottom + (np.arange(rows) + 0.5) * h / rows
    axis.contour(x, y, level, levels=[0], colors=["black"], linewidths=2.0, alpha=0.5)
    axis.contour(x, y, level, levels=[0], colors=[OUTLINE], linewidths=1.2)


def _draw_callipers(axis: Axes, view: View, measures: Measures) -> None:
    """The measured axes that lie in this plane."""
    for letter, pair in (("L", measures.length_axis), ("W", measures.width_axis), ("T", measures.thickness_axis)):
        ends = view.place(pair)
        if np.abs(ends[:, 2]).max() > 0.5:  # mm before or behind
            continue
        ends = ends[np.lexsort((ends[:, 0], ends[:, 1] - ends[:, 0]))][:, :2]  # last: the upper or left one
        length = float(np.linalg.norm(pair[1] - pair[0]))
        axis.plot(*ends.T, color=CALLIPERS, linewidth=0.8, linestyle=(0, (2, 2)))
        axis.plot(*ends.T, color=CALLIPERS, linestyle="none", marker="+", markersize=6, markeredgewidth=1.2)
        outwards = (ends[1] - ends[0]) / max(length, 1e-9)
        _label(axis, ends[1], 5 * outwards, f"{letter} {length:.0f} mm", CALLIPERS)


def _draw_points(axis: Axes, view: View, points: Points) -> None:
    """Those within `NEAR_MM` of the plane, with their numbers."""
    for number, point in enumerate(points, 1):
        x, y, before = view.place(point.ras_mm)
        if abs(before) <= NEAR_MM:
            axis.plot(x, y, **_marker(point.inside))
            _label(axis, (x, y), np.array([4.0, 4.0]), str(number), "white")


def _marker(inside: bool) -> dict:
    marker = {"marker": "o", "markersize": 5, "linestyle": "none", "clip_on": True}
    if inside:
        return marker | {"markerfacecolor": INSIDE, "markeredgecolor": "white", "markeredgewidth": 0.9}
    return marker | {"markerfacecolor": "none", "markeredgecolor": OUTSIDE, "markeredgewidth": 1.5}


def _label(axis: Axes, place, offset: np.ndarray, text: str, colour: str) -> None:
    """Text at a place, moved by an offset in points and aligned to it."""
    from matplotlib.patheffects import withStroke

    x, y = offset
    axis.annotate(
        text,
        place,
        xytext=(x, y),
        textcoords="offset points",
        ha="center" if abs(x) < abs(y) / 2 else ("left" if x > 0 else "right"),
        va="center" if abs(y) < abs(x) / 2 else ("bottom" if y > 0 else "top"),
        fontsize=_SMALL,
        color=colour,
        path_effects=[withStroke(linewidth=1.6, foreground="black")] if colour != _DARK else [],
        annotation_clip=True,
    )


def _draw_scale_bar(axis: Axes, view: View, length: float) -> None:
    _, right, bottom, _ = view.extent_mm
    inset = length / 4
    x, y = right - inset - length, bottom + inset
    axis.plot([x, x + length], [y, y], color="black", linewidth=3.6, solid_capstyle="butt")
    axis.plot([x, x + length], [y, y], color="white", linewidth=2.2, solid_capstyle="butt")
    _label(axis, (x + length / 2, y), np.array([0.0, 2.5]), f"{length:g} mm", "white")


def bar_mm(width_mm: float) -> float:
    """Length of the scale bar: the largest of 1, 2, 5, 10, 20, ... mm that is at most a quarter of the width."""
    power = 10 ** np.floor(np.log10(width_mm / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= width_mm / 4))


def _draw_surface(axis: Axes, view: View, planes: list[View], result: KidneySegmentation, step: float) -> None:
    seen = relief(result.phi, result.grid, view, step)
    picture = shaded(seen, view)
    for plane in planes:
        before = np.abs(plane.place(seen.points_mm)[..., 2])
        line = np.clip((CUT_MM - before) / step + 0.5, 0, 1)
        picture *= 1 - 0.6 * np.nan_to_num(line)[..., None]
    axis.imshow(picture, extent=view.extent_mm, origin="lower", aspect="auto", interpolation="bilinear")
    for point in result.points:
        x, y, _ = view.place(point.ras_mm)
        axis.plot(x, y, **_marker(point.inside))


def _draw_letters(axis: Axes, view: View, colour: str) -> None:
    left, right, bottom, top = view.extent_mm
    for place, inwards, direction in (
        ((left, 0), (4, 0), -view.right),
        ((right, 0), (-4, 0), view.right),
        ((0, top), (0, -4), view.up),
        ((0, bottom), (0, 4), -view.up),
    ):
        _label(axis, place, np.array(inwards, float), letters_of(direction), colour)


def letters_of(direction: np.ndarray) -> str:
    """The one or two directions of the body nearest to a direction (3,): S, or SA if it leans more than 22 degrees."""
    order = np.argsort(-np.abs(direction))[:2]
    names = np.where(np.asarray(direction) > 0, list("RAS"), list("LPI"))
    return "".join(names[i] for i in order if abs(direction[i]) > np.sin(np.radians(22.5)))


def _frame(axis: Axes, view: View) -> None:
    left, right, bottom, top = view.extent_mm
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_linewidth(0.5)
        spine.set_color("0.5")


def _write(figure: Figure, title: str, lines: list[tuple[str, bool]]) -> None:
    width, height = figure.get_size_inches()
    top = height - _EDGE / 2
    if title:
        figure.text(_EDGE / width, top / height, title, fontsize=10, va="top", weight="bold", parse_math=False)
        top -= _TITLE
    for line, warning in lines:
        colour = WARNING if warning else "black"
        figure.text(_EDGE / width, top / height, line, fontsize=_TEXT, va="top", color=colour, parse_math=False)
        top -= _LINE


def _draw_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    height = figure.get_size_inches()[1]
    names = {True: "point inside", False: f"point outside (in the planes: those within {NEAR_MM:g} mm)"}
    figure.legend(
        handles=[Line2D([], [], label=name, **_marker(inside)) for inside, name in names.items()],
        loc="lower left",
        bbox_to_anchor=(0, 0.02 / height),
        ncols=2,
        fontsize=_SMALL,
        frameon=False,
    )
