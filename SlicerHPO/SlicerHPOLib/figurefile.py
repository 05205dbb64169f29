"""Figures as files: what their names may end in, and that they appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .files import replacing
from .words import _, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")


class FigureError(ValueError):
    """A figure that cannot be drawn or written; the message says why and what to do."""


def require_matplotlib() -> None:
    """Raises `FigureError` that says what to install if matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise FigureError(
            _("Figures need matplotlib, which is not installed. Install it with 'pip install matplotlib'.")
        ) from None


def save_figure(draw: Callable[[], Figure], path: str | os.PathLike) -> Path:
    """Writes what `draw` draws as PNG, PDF or SVG, by the ending of `path`. Raises `FigureError`, before it draws."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise FigureError(named(path, _("a figure's name ends in {endings}.").format(endings=", ".join(FORMATS))))
    require_matplotlib()
    figure = draw()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=200)
    return path
