"""How good a model is found in few full trainings: our Bayesian optimisation and the packages people use.

Each search draws configurations of a table of stored trainings and is told their losses. Its gap after n draws is

    (least loss drawn - the least of the table) / (median loss of the table - the least),  at most 1,

1 also while all drawn have failed. Seeds are paired: a seed is that of all methods.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from SlicerHPOLib.job import Job

from ..search.bayesian import Bayesian
from ..search.curve_table import CurveTable
from ..search.kernel import squared_exponential
from ..search.method import Method
from ..search.random_search import RandomSearch
from ..search.rivals import RIVALS
from ..search.space import Space
from ..search.transform import identity
from .rows import add_result

DRAWS = (15, 30, 60)
Key = tuple[str, str, int]  # table, method, seed


def source(space: Space, seed: int = 0) -> Bayesian:
    """Bertrand 2019, section 2.4: expected improvement of a process of the losses with a squared exponential; failed
    trainings are left out."""
    return Bayesian(space, seed, kernels=[squared_exponential()], transforms=[identity], learn_failures=False)


Makers = dict[str, Callable[[Space, int], Method]]
OURS: Makers = {"random": RandomSearch, "source": source, "Bayesian": Bayesian}
METHODS: Makers = OURS | {name: rival.make for name, rival in RIVALS.items()}


@dataclass(frozen=True)
class Run:
    """One search. gaps: after each of `DRAWS`, None after those that were not made. failed: how many draws could not be
    trained. seconds: of a processor, without trainings."""

    table: str
    method: str
    seed: int
    gaps: tuple[float | None, ...]
    failed: int
    seconds: float

    def as_row(self) -> dict[str, str]:
        gaps = {f"gap_{n}": "" if gap is None else f"{gap:.6g}" for n, gap in zip(DRAWS, self.gaps, strict=True)}
        return {
            "table": self.table,
            "method": self.method,
            "seed": str(self.seed),
            **gaps,
            "failed": str(self.failed),
            "seconds": f"{self.seconds:.4g}",
        }

    @classmethod
    def from_row(cls, row: dict[str, str]) -> Run:
        gaps = tuple(float(row[f"gap_{n}"]) if row[f"gap_{n}"] else None for n in DRAWS)
        return cls(row["table"], row["method"], int(row["seed"]), gaps, int(row["failed"]), float(row["seconds"]))


def search(table: CurveTable, method: Method, draws: int) -> tuple[list[float], int]:
    """Gaps (draws,) after each draw, the last one again where the method ends early; and how many draws failed."""
    final = table.final
    least, median = np.nanmin(final), np.nanmedian(final)
    best, gaps, failed = np.inf, [], 0
    for _, observation in table.replay(method, draws):
        failed += observation.failed
        best = best if observation.failed else min(best, observation.loss)
        gaps.append(float(min(1.0, (best - least) / (median - least))))
    return gaps + [gaps[-1]] * (draws - len(gaps)), failed


def sample_efficiency(
    tables: dict[str, CurveTable],
    out: str | Path,
    seeds: Sequence[int],
    methods: Makers,
    draws: int = DRAWS[-1],
    job: Job = Job(),
) -> list[Run]:
    """Search each table by each method from each seed; what `runs.csv` in the folder has already is not done again.

    Args:
        tables, methods: by name. out: a folder. draws: of a search, at least the first of `DRAWS`.

    Raises:
        ValueError: there are fewer draws than are compared, or a method's package is not installed.
    """
    if draws < DRAWS[0]:
        raise ValueError(f"{draws} draws: at least {DRAWS[0]} are compared.")
    file = Path(out) / "runs.csv"
    runs = _read(file)
    wanted = [(table, method, seed) for table in tables for method in methods for seed in seeds]
    asked = sum(n <= draws for n in DRAWS)
    for done, key in enumerate(wanted):
        name, method, seed = key
        if key in runs and all(gap is not None for gap in runs[key].gaps[:asked]):
            continue
        job.progress(done / len(wanted), f"{name}, {method}, seed {seed}")
        start = time.process_time()
        gaps, failed = search(tables[name], methods[method](tables[name].space, seed), draws)
        seconds = time.process_time() - start
        reached = tuple(gaps[n - 1] if n <= draws else None for n in DRAWS)
        runs = add_result(file, key, Run(name, method, seed, reached, failed, seconds), _read, _write)
    return [run for run in runs.values() if run.table in tables]


def named(names: Sequence[str], among: Makers = METHODS) -> Makers:
    """Methods by name. Raises ValueError if there is none."""
    if unknown := [name for name in names if name not in among]:
        raise ValueError(f"No method is called {unknown[0]!r}; there are {', '.join(among)}.")
    return {name: among[name] for name in names}


def read(file: Path) -> list[Run]:
    """The runs that a file has; none if it is not there."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [Run.from_row(row) for row in csv.DictReader(lines)]


def _read(file: Path) -> dict[Key, Run]:
    return {(run.table, run.method, run.seed): run for run in read(file)}


def _write(file: Path, runs: dict[Key, Run]) -> None:
    rows = [run.as_row() for run in runs.values()]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def describe(runs: list[Run]) -> str:
    """A table in Markdown for each table of trainings: mean gaps in percent with 95 % of the mean, and below it our
    Bayesian optimisation less the best package, over the seeds that both have."""
    lines = []
    for table in dict.fromkeys(run.table for run in runs):
        own = [run for run in runs if run.table == table]
        lines += [
            f"| {table}: gap in %, mean over seeds | "
            + " | ".join(f"{n} draws" for n in DRAWS)
            + " | failed draws | seconds a run | seeds |",
            "|" + "---|" * (len(DRAWS) + 4),
        ]
        for method in dict.fromkeys(run.method for run in own):
            of = [run for run in own if run.method == method]
            cells = [_cell([run.gaps[k] for run in of if run.gaps[k] is not None]) for k in range(len(DRAWS))]
            failed, seconds = np.mean([run.failed for run in of]), np.mean([run.seconds for run in of])
            lines.append(f"| {method} | {' | '.join(cells)} | {failed:.1f} | {seconds:.2f} | {len(of)} |")
        lines += [*_differences(own), ""]
    return "\n".join(lines).rstrip()


def _differences(runs: list[Run]) -> list[str]:
    """Ours less the best package, a line for each number of draws."""
    lines = []
    for k, n in enumerate(DRAWS):
        gaps = {(run.method, run.seed): run.gaps[k] for run in runs if run.gaps[k] is not None}
        means = {
            name: np.mean([gap for (method, _), gap in gaps.items() if method == name])
            for name in {method for method, _ in gaps if method not in OURS}
        }
        if not means:
            continue
        best = min(means, key=means.get)
        paired = [
            gaps["Bayesian", seed] - gap for (m, seed), gap in gaps.items() if m == best and ("Bayesian", seed) in gaps
        ]
        if paired:
            lines.append(f"after {n} draws, Bayesian less {best}: {_cell(paired)} over {len(paired)} paired seeds")
    return ["", *lines] if lines else []


def _cell(values: list[float]) -> str:
    """Mean and half the width of its 95 % interval, in percent."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{100 * values[0]:.2f}"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{100 * np.mean(values):.2f} ± {100 * half:.2f}"
