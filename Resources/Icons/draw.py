"""Draws the icons of the extension and of its modules, 128 x 128 pixels: `python Resources/Icons/draw.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon, Rectangle, Wedge
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D
from PIL import Image

SIZE = 128
FINER = 8  # drawn that much larger, then averaged
NIGHT, BONE = "#16242e", "#f4f1ea"
REGIONS = {"head": "#8ecae6", "chest": "#90be6d", "abdomen": "#f9c74f", "pelvis": "#f3722c", "legs": "#d1495b"}
KIDNEY, KIDNEY_EDGE, INSIDE, OUTSIDE = "#c8553d", "#ffb703", "#4ade80", "#ff4d5e"

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {
    "field_of_view": ROOT / "SlicerHPO/MRFieldOfView/Resources/Icons/MRFieldOfView.png",
    "kidney": ROOT / "SlicerHPO/KidneyUltrasound/Resources/Icons/KidneyUltrasound.png",
    "extension": ROOT / "HPO.png",
}


def main() -> None:
    """Writes all of `TARGETS`."""
    for name, path in TARGETS.items():
        figure = Figure(figsize=(SIZE * FINER / 100,) * 2, dpi=100)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 100), ylim=(0, 100))
        axes.axis("off")
        figure.patch.set_alpha(0)
        axes.add_patch(FancyBboxPatch((6, 6), 88, 88, boxstyle="round,pad=3,rounding_size=16", color=NIGHT, lw=0))
        if name == "field_of_view":
            body(axes, Affine2D().translate(50, 50))
        elif name == "kidney":
            sector(axes, Affine2D().scale(0.94).translate(50, 51))
        else:
            sector(axes, Affine2D().scale(0.72).translate(62, 47), points=False)
            body(axes, Affine2D().scale(0.86).translate(29, 51), lines=False)
        write(figure, path)


def write(figure: Figure, path: Path) -> None:
    """A PNG of `SIZE` pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(canvas.buffer_rgba())).resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(path)


def body(axes: Axes, place: Affine2D, lines: bool = True) -> None:
    """A standing figure around the origin, cut into regions."""
    transform = place + axes.transData
    parts = [
        Circle((0, 32), 8.5),
        FancyBboxPatch((-11, -9), 22, 27, boxstyle="round,pad=2,rounding_size=6"),
        FancyBboxPatch((-20, -3), 3, 19, boxstyle="round,pad=1.5,rounding_size=3"),
        FancyBboxPatch((17, -3), 3, 19, boxstyle="round,pad=1.5,rounding_size=3"),
        FancyBboxPatch((-10.5, -38), 7, 30, boxstyle="round,pad=1.5,rounding_size=4"),
        FancyBboxPatch((3.5, -38), 7, 30, boxstyle="round,pad=1.5,rounding_size=4"),
    ]
    edges = [44, 21.5, 8, -3, -14, -44]
    for part in parts:
        part.set_transform(transform)
        part.set(fill=False, lw=0)
        axes.add_patch(part)
        for color, top, bottom in zip(REGIONS.values(), edges, edges[1:], strict=False):
            band = Rectangle((-50, bottom), 100, top - bottom, color=color, lw=0, transform=transform)
            axes.add_patch(band)
            band.set_clip_path(part)
    for height in edges[1:-1] if lines else ():
        for left in range(-40, 40, 8):
            axes.plot([left + 2, left + 6], [height, height], color=BONE, lw=14, transform=transform, alpha=0.9)


def sector(axes: Axes, place: Affine2D, points: bool = True) -> None:
    """An ultrasound sector around the origin with a kidney in it."""
    transform = place + axes.transData
    wedge = Wedge((0, 38), 78, 270 - 36, 270 + 36, width=68, color="#33505f", lw=0, transform=transform)
    axes.add_patch(wedge)
    random = np.random.default_rng(4)
    depth = 10 + 68 * np.sqrt(random.random(420))
    angle = np.radians(random.uniform(-36, 36, 420))
    speckle = axes.scatter(
        depth * np.sin(angle),
        38 - depth * np.cos(angle),
        s=random.uniform(60, 420, 420),
        color="#9fb8c3",
        alpha=0.3,
        lw=0,
        transform=transform,
    )
    speckle.set_clip_path(wedge)
    outline = bean()
    axes.add_patch(Polygon(outline, closed=True, fc=KIDNEY, ec=KIDNEY_EDGE, lw=30, transform=transform, alpha=0.97))
    sinus = PathPatch(Outline(outline * 0.42 + [2.5, -4.5]), fc="#f2b5a0", lw=0, transform=transform)
    axes.add_patch(sinus)
    if points:
        for x, y, color in ((-15, -11, INSIDE), (16.5, 3, INSIDE), (5, 16, OUTSIDE)):
            axes.add_patch(Circle((x, y), 4.2, fc=color, ec="white", lw=12, transform=transform))


def bean() -> np.ndarray:
    """Corners of a kidney's outline, lying, hilum above. Shape (n, 2)."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 21 * (1 - 0.36 * np.exp(-(((angle - np.pi / 2) / 0.55) ** 2)))
    x, y = 1.28 * radius * np.cos(angle), 0.82 * radius * np.sin(angle) - 5
    turn = np.radians(12)
    return np.column_stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])


if __name__ == "__main__":
    main()
