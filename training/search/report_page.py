"""A study's report as a page of its own: one HTML file with its figures in it, and the figures beside it."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path

from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job

from . import report_figures as figures
from .method import Observation
from .report import LEAST, WINDOW, Fit, Predictions, Record, fit

BEST = 10
FAILED = 20  # configurations that are listed

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } img { max-width: 100%; height: auto; } figure { margin: 0 0 1rem; }
figcaption, .note { color: #444; font-size: 0.9rem; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; } th, td { padding: 0.2rem 0.7rem; text-align: right; }
th { border-bottom: 2px solid #444; } td { border-bottom: 1px solid #ddd; }
"""

PROGRESS = f"Losses of full trainings, the median of the last {WINDOW} and the least. Time goes on while a study rests."
PARALLEL = (
    "A line for each full training, dark where its loss is small; lines through one value lie side by side. "
    "Losses above the 90 % quantile share a colour."
)
IMPORTANCE = (
    "Shares of the variance, over the whole space, of what a Gaussian process predicts for a full training: what a "
    "hyper-parameter explains alone (first-order Sobol index) and with its interactions (total index)."
)
PREDICTED = (
    "Each full training as the process predicts it without this trial; the parameters of the process are fitted to all."
)
RUNGS = (
    "Trials from rung to rung, and the rank correlation of the losses of those that reached two rungs. They are the "
    "better ones of the lower rung, so it is less than it would be over all; 95 % is how far chance alone reaches."
)


def write_report(record: Record, out: str | Path, seed: int = 0, job: Job = Job()) -> list[Path]:
    """report.html in a folder, and the figures that there are results for, as PNG; returns their paths.

    Args:
        seed: of the fit of the process and of the samples of the space.
    """
    job.progress(0.0, "fitting the process")
    fitted = fit(record, seed)
    job.progress(0.6, "decomposing its variance")
    importance = fitted and fitted.importance(seed)
    predictions = fitted and fitted.predictions()
    job.progress(0.9, "drawing")
    drawn = {
        "progress": figures.progress(record) if record.best else None,
        "parallel": figures.parallel(record) if len(set(record.losses)) > 1 else None,
        "importance": importance and figures.importance(importance),
        "predicted": predictions and figures.predicted(predictions),
        "rungs": figures.rungs(record) if record.agreements else None,
    }
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    images: dict[Path, str] = {}
    for name, figure in drawn.items():
        path = out / f"{name}.png"
        if figure is None:
            path.unlink(missing_ok=True)  # of another report in this folder
            continue
        with replacing(path) as temporary:
            figure.savefig(temporary)
        images[path] = base64.b64encode(path.read_bytes()).decode()
    page = _page(record, fitted, predictions, {path.stem: image for path, image in images.items()})
    with replacing(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return [out / "report.html", *images]


def summary(record: Record) -> str:
    """The study in two sentences."""
    text = f"{len(record.observations)} trainings of {len({o.trial for o in record.observations})} configurations"
    if record.full is not None:
        text += f", {record.spent[-1]:.1f} full trainings in all"
    text += f"; {len(record.finished)} to the end, {len(record.failures)} failed, {record.running} running."
    if record.best:
        text += f" Least loss: {record.best[0].loss:.4g}, trial {record.best[0].trial}."
    return text


def _page(record: Record, fitted: Fit | None, predictions: Predictions | None, images: dict[str, str]) -> str:
    no_training = "No training has come to its end."
    no_pair = f"Needs two full trainings with different losses; there are {len(record.finished)}."
    no_process = f"Needs {LEAST} full trainings with different losses; there are {len(record.finished)}."
    content = {
        "Progress": _figure(images, "progress", PROGRESS, no_training),
        "The best": _best(record),
        "Hyper-parameters": _figure(images, "parallel", PARALLEL, no_pair),
        "Importance": _figure(
            images,
            "importance",
            _importance(fitted, predictions),
            "All predictions are the same." if fitted else no_process,
        ),
        "Predicted and true": _figure(images, "predicted", PREDICTED, no_process),
    }
    if record.full is not None:
        content["Rungs"] = _figure(images, "rungs", RUNGS, "No two trials have reached the same two rungs.")
        content["Rungs"] += _misleading(record)
    content["Failures"] = _failures(record)
    settings = escape(json.dumps(record.settings, indent=1))
    body = "".join(f"<section><h2>{escape(title)}</h2>{part}</section>\n" for title, part in content.items())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Study {escape(record.name)}</title>'
        f"<style>{STYLE}</style></head><body><h1>Study {escape(record.name)}</h1><p>{escape(summary(record))}</p>"
        f"<details><summary>Settings</summary><pre>{settings}</pre></details>\n{body}</body></html>\n"
    )


def _figure(images: dict[str, str], name: str, caption: str, missing: str) -> str:
    if name not in images:
        return f'<p class="note">{escape(missing)}</p>'
    return (
        f'<figure><img alt="{name}" src="data:image/png;base64,{images[name]}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _importance(fitted: Fit | None, predictions: Predictions | None) -> str:
    if not (fitted and predictions):
        return ""
    # It is that of the trainings as far as the process predicts them.
    explained = f"{max(0.0, predictions.r2):.0%} of the variance of the trainings that it was not told"
    return f"{IMPORTANCE} The process is of the {fitted.unit} and explains {explained}."


def _best(record: Record) -> str:
    names = record.space.names
    rows = [
        [str(n), str(o.trial), f"{o.loss:.4g}", "" if o.cost_s is None else f"{o.cost_s:.3g}", *_values(names, o)]
        for n, o in enumerate(record.best[:BEST], 1)
    ]
    return _table(["", "trial", "loss", "seconds", *names], rows)


def _misleading(record: Record) -> str:
    found = [f"{a.lower:g} to {a.upper:g}" for a in record.agreements if a.misleads]
    return f"<p>These rungs mislead: {', '.join(found)}.</p>" if found else ""


def _failures(record: Record) -> str:
    if not record.failures:
        return "<p>None.</p>"
    names = record.space.names
    reasons = _table(["reason", "trainings"], [[reason, str(count)] for reason, count in record.reasons])
    rows = [[str(o.trial), *_values(names, o), o.reason or "unknown"] for o in record.failures[-FAILED:]]
    return f"{reasons}<p>The last {len(rows)}:</p>{_table(['trial', *names, 'reason'], rows)}"


def _values(names: tuple[str, ...], observation: Observation) -> list[str]:
    return [figures.text(observation.configuration[n]) if n in observation.configuration else "" for n in names]


def _table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return '<p class="note">No training has come to its end.</p>'
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
