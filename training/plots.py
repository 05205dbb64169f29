"""What figures share: colours that colour-blind readers tell apart, and logarithmic axes with plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Okabe and Ito's palette
BLACK, BLUE, GREEN, PURPLE = "#000000", "#0072B2", "#009E73", "#CC79A7"
VERMILLION, ORANGE, SKY, GREY = "#D55E00", "#E69F00", "#56B4E9", "0.6"


def logarithmic(axes: Axes, which: str, values: np.ndarray) -> None:
    """Make the "x" or "y" axis logarithmic, for positive values."""
    getattr(axes, f"set_{which}scale")("log")
    plain_logarithms(getattr(axes, f"{which}axis"), values)


def plain_logarithms(axis: Axis, values: np.ndarray) -> None:
    """Ticks at 0.1, 0.2, 0.5, 1, ... of a logarithmic axis, at powers of ten if it is long."""
    from matplotlib.ticker import LogLocator, NullLocator

    decades = np.log10(np.nanmax(values) / np.nanmin(values))
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
