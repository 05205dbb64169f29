"""The figures of a study's report. Colours are told apart by colour-blind readers: Okabe and Ito's, and cividis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..plots import BLUE, GREY, ORANGE, VERMILLION, logarithmic, plain_logarithms
from .parameter import Categorical, Continuous, Integer, Parameter, Value
from .report import WINDOW, Predictions, Record, running_median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .importance import Importance

MOST_LABELS = 10  # of the values of a parameter
INACTIVE = -0.12  # where a parameter that has no value is drawn below the others, which are in [0, 1]
BAND = 0.03  # lines through one value of a list lie side by side within this of it
WIDE = 10  # from this ratio of the largest to the least loss on, axes are logarithmic


def progress(record: Record) -> Figure:
    """Losses of full trainings, the best so far and the running median, against budget and against time."""
    figure = _figure(8, 3.4)
    hours, unit = _in_units(record.elapsed_s[record.finished])
    finished = record.finished + 1 if record.full is None else record.spent[record.finished]
    label = "trainings" if record.full is None else "budget in full trainings"
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, at, name in ((left, finished, label), (right, hours, f"time since the first training began in {unit}")):
        axis.plot(at, record.losses, ".", color=GREY, markersize=4, label="a full training")
        axis.step(at, running_median(record.losses), where="post", color=ORANGE, label=f"running median of {WINDOW}")
        axis.step(at, np.minimum.accumulate(record.losses), where="post", color=BLUE, label="best so far")
        axis.set_xlabel(name)
        axis.set_xlim(left=0)
    left.set_ylabel("loss of a full training")
    if _is_wide(record.losses):
        logarithmic(left, "y", record.losses)
    figure.legend(*left.get_legend_handles_labels(), fontsize="small", loc="outside upper center", ncols=3)
    return figure


def predicted(found: Predictions) -> Figure:
    """Predicted against true losses, with 95 % intervals."""
    figure = _figure(4.6, 4.4)
    axis = figure.subplots()
    error = np.array([found.mean - found.low, found.high - found.mean])
    axis.errorbar(found.loss, found.mean, error, fmt="o", markersize=3, color=BLUE, ecolor="#9ecae1", elinewidth=0.8)
    ends = [min(found.loss.min(), found.mean.min()), max(found.loss.max(), found.mean.max())]
    axis.plot(ends, ends, "--", color="0.3", linewidth=1, label="predicted = true")
    axis.set(xlabel="true loss", ylabel="predicted from the other trials, with 95 %")
    if found.logarithmic:
        logarithmic(axis, "x", found.loss)
        logarithmic(axis, "y", np.concatenate([found.low, found.high]))
    axis.set_title(f"$R^2$ {found.r2:.2f}{' of log losses' * found.logarithmic}, rank correlation {found.rank:.2f}")
    axis.legend(fontsize="small", loc="upper left")
    return figure


def parallel(record: Record) -> Figure:
    """A line for each full training through the values of its hyper-parameters, the best dark and on top."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm, Normalize

    parameters = record.space.parameters
    apart = max(1.3, 0.09 * max(map(len, record.space.names)))  # inches
    figure = _figure(apart * len(parameters) + 1.5, 4.2)
    axis = figure.subplots()
    trials = record.best[::-1]
    losses = np.array([o.loss for o in trials])
    ends = losses.min(), np.quantile(losses, 0.9)
    if ends[0] == ends[1]:
        ends = losses.min(), losses.max()
    colours = ScalarMappable((LogNorm if _is_wide(losses) else Normalize)(*ends, clip=True), "cividis")
    heights = np.array([[_height(p, o.configuration.get(p.name)) for p in parameters] for o in trials])
    bands = [0.0 if p.size is None else min(BAND, 0.3 / p.size) for p in parameters]
    heights += bands * np.random.default_rng(0).uniform(-1, 1, heights.shape)
    places = np.broadcast_to(np.arange(len(parameters)), heights.shape)
    lines = LineCollection(np.stack([places, heights], axis=2), colors=colours.to_rgba(losses), alpha=0.8, linewidths=1)
    axis.add_collection(lines)
    if len(parameters) == 1:
        axis.scatter(places, heights, color=colours.to_rgba(losses), s=12)
    conditional = any(p.only_if is not None for p in parameters)
    for n, parameter in enumerate(parameters):
        axis.axvline(n, color="0.4", linewidth=0.8, zorder=0)
        for value in _ticks(parameter):
            _label(axis, n, _height(parameter, value), text(value))
        if parameter.only_if is not None:
            _label(axis, n, INACTIVE, "(inactive)")
    axis.set(xlim=(-0.2, len(parameters) - 0.5), ylim=(INACTIVE - 0.06 if conditional else -0.06, 1.06), yticks=[])
    axis.set_xticks(range(len(parameters)), record.space.names)
    axis.tick_params(axis="x", length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(colours, ax=axis, extend="max" if losses.max() > ends[1] else "neither", pad=0.02)
    if _is_wide(losses):
        plain_logarithms(bar.ax.yaxis, np.array(ends))
    bar.set_label("loss of a full training")
    return figure


def importance(found: Importance) -> Figure:
    """Bars of what each hyper-parameter explains alone, and with its interactions."""
    order = np.argsort(found.total)
    figure = _figure(6, 0.45 * len(order) + 1.3)
    axis = figure.subplots()
    places = np.arange(len(order))
    axis.barh(places + 0.19, found.main[order], 0.36, color=BLUE, label="alone")
    axis.barh(places - 0.19, found.total[order], 0.36, color=ORANGE, label="with its interactions")
    axis.set_yticks(places, [found.names[n] for n in order])
    axis.set(xlabel="share of the variance of the predicted loss over the space", xlim=(0, 1))
    axis.legend(fontsize="small", loc="lower right")
    return figure


def rungs(record: Record) -> Figure:
    """The losses of the trials along the rungs, and how well each rung orders those that reached the next."""
    figure = _figure(8, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    curves: dict[int, list[tuple[float, float]]] = {}
    for o in record.observations:
        if not o.failed:
            curves.setdefault(o.trial, []).append((o.resource, o.loss))
    resources = sorted({resource for curve in curves.values() for resource, _ in curve})
    for curve in curves.values():
        ended = curve[-1][0] == record.full
        colour = BLUE if ended else GREY
        left.plot(
            *zip(*curve, strict=True), ".-", color=colour, linewidth=0.8, markersize=3, alpha=0.6, zorder=1 + ended
        )
    left.plot([], [], ".-", color=BLUE, label="trained to the end")
    left.plot([], [], ".-", color=GREY, label="stopped")
    left.set(xlabel="resource of the training", ylabel="loss", xscale="log")
    _plain_ticks(left, resources)
    losses = np.array([o.loss for o in record.observations if not o.failed])
    if _is_wide(losses):
        logarithmic(left, "y", losses)
    left.legend(fontsize="small", loc="upper right")
    places = np.arange(len(record.agreements))
    tau = np.array([a.tau for a in record.agreements])
    error = 1.96 * np.array([a.error for a in record.agreements])
    within = np.stack([np.minimum(error, tau + 1), np.minimum(error, 1 - tau)])  # tau is from -1 to 1
    right.errorbar(places, tau, within.clip(0), fmt="o", color=VERMILLION, capsize=3)
    right.axhline(0, color="0.5", linewidth=0.8)
    texts = [f"{text(a.lower)} to {text(a.upper)}\n{a.pairs} trials" for a in record.agreements]
    right.set_xticks(places, texts, fontsize="small")
    right.set(ylabel="rank correlation (Kendall's tau), 95 %", ylim=(-1.05, 1.05), xlim=(-0.6, len(places) - 0.4))
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=150, layout="constrained")


def _is_wide(losses: np.ndarray) -> bool:
    return bool(losses.min() > 0 and losses.max() / losses.min() > WIDE)


def _in_units(seconds: np.ndarray) -> tuple[np.ndarray, str]:
    for factor, unit in ((3600, "hours"), (60, "minutes")):
        if seconds[-1] >= 2 * factor:
            return seconds / factor, unit
    return seconds, "seconds"


def _plain_ticks(axis: Axes, values: list[float]) -> None:
    axis.set_xticks(values, [text(value) for value in values])
    axis.minorticks_off()


def _height(parameter: Parameter, value: Value) -> float:
    """Where a value is on its axis, in [0, 1]; below it if there is none."""
    if value is None and not parameter.holds(None):
        return INACTIVE
    if isinstance(parameter, Categorical):
        return parameter.values.index(value) / max(1, parameter.size - 1)
    return parameter.encode(value)[0]


def _ticks(parameter: Parameter) -> list[Value]:
    if isinstance(parameter, (Continuous, Integer)):
        ticks = [parameter.decode(np.array([fraction])) for fraction in (0, 0.25, 0.5, 0.75, 1)]
        return list(dict.fromkeys(ticks))
    step = -(-parameter.size // MOST_LABELS)
    return list(parameter.values[::step])


def _label(axis: Axes, x: float, y: float, label: str) -> None:
    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    axis.text(x + 0.03, y, label, fontsize="x-small", va="center", ha="left", zorder=5, bbox=box)


def text(value: Value) -> str:
    """As it is written on axes and in tables."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
