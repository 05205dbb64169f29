"""Table 2.6 of Bertrand 2019: the best networks that the search over table 2.7 found, with what they cost.

The text that this was made from names the source's two best networks and their weights, not the form of the table.
Assumed here: one row a network that was trained to the end, the least loss first.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from SlicerHPOLib.files import replacing

from ..fieldofview.cost import multiply_adds, weights
from ..fieldofview.objective import plan_of
from ..fieldofview.train import TrainingPlan
from ..search.report import Record
from ..search.report_figures import text
from ..search.space import Configuration

ROWS = 10
HEAD = ("trial", "loss", "resource", "weights", "multiply_adds", "seconds")


@dataclass(frozen=True)
class Network:
    """A trial of a study that did not fail, as its longest training left it.

    Attributes:
        loss: after `resource`. full: it was trained to the end. multiply_adds: for one slice. seconds: of all its
            trainings, by the clock.
    """

    trial: int
    configuration: Configuration
    loss: float
    resource: float | None
    full: bool
    weights: int
    multiply_adds: int
    seconds: float


def base_plan(record: Record) -> TrainingPlan:
    """What all trainings of the study share. Raises ValueError if it is no study of field-of-view networks."""
    try:
        return TrainingPlan.from_json(record.settings["plan"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"The study {record.name!r} does not say what its networks are: expected one of "
            "`python -m training search fieldofview`."
        ) from error


def networks(record: Record) -> list[Network]:
    """One for each trial that did not fail: those trained to the end first, each group by loss."""
    base = base_plan(record)
    finished = {record.observations[n].trial for n in record.finished}
    seconds: dict[int, float] = {}
    last = {}
    for o in record.observations:
        seconds[o.trial] = seconds.get(o.trial, 0.0) + (o.cost_s or 0.0)
        last[o.trial] = o
    found = []
    for trial, o in last.items():
        if not o.failed:
            architecture = plan_of(o.configuration, base).architecture
            costs = weights(architecture), multiply_adds(architecture)
            found.append(Network(trial, o.configuration, o.loss, o.resource, trial in finished, *costs, seconds[trial]))
    return sorted(found, key=lambda n: (not n.full, -(n.resource or 0), n.loss))


def describe(found: list[Network], rows: int = ROWS) -> str:
    """The best of the full trainings, in Markdown."""
    best = [n for n in found if n.full][:rows]
    if not best:
        return "No network was trained to the end yet."
    names = list(best[0].configuration)
    lines = [
        "| " + " | ".join(["trial", "loss", *names, "weights", "multiply-adds of a slice", "seconds"]) + " |",
        "|" + "---|" * (len(names) + 5),
    ]
    for n in best:
        cells = [
            str(n.trial),
            f"{n.loss:.4f}",
            *map(text, n.configuration.values()),
            f"{n.weights:,}",
            f"{n.multiply_adds / 1e6:.1f} M",
        ]
        lines.append("| " + " | ".join([*cells, f"{n.seconds:.0f}"]) + " |")
    return "\n".join(lines)


def write(found: list[Network], out: str | Path, name: str = "table-2.6") -> list[Path]:
    """All networks as a .csv, and the best as a .md, in a folder."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / f"{name}.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*HEAD, *(found[0].configuration if found else ())])
        writer.writerows([*(getattr(n, column) for column in HEAD), *n.configuration.values()] for n in found)
    with replacing(out / f"{name}.md") as temporary:
        temporary.write_text(describe(found) + "\n")
    return [out / f"{name}.csv", out / f"{name}.md"]
