"""What a study found, in numbers: how the search went, what the process predicts, what matters, what failed.

Everything is computed from the stored results alone, so a study that is still running can be read too. The process is
fitted anew, as the searches fit theirs: Matern 5/2 with and without warps, losses or their logarithms, whichever is
likeliest; where trainings were stopped on rungs, with the covariance of time of `time_kernel`.

The prediction for a trial is that of the process without all of the trial's results, with the same parameters. For the
results I of a trial (Rasmussen and Williams 2006, section 5.4.2, where I is one result),

    mean = z_I - (K^-1_II)^-1 (K^-1 z)_I,   covariance = (K^-1_II)^-1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from .fidelity import Agreement, agreements
from .gaussian_process import GaussianProcess
from .importance import Importance, importance
from .kernel import matern_52
from .method import Observation
from .space import Configuration, Space
from .study import ended, observation_of
from .surrogate import Surrogate
from .time_kernel import Decaying, with_time
from .transform import identity, logarithm

WINDOW = 10  # trainings that a running median is of
LEAST = 4  # full trainings that a process is fitted to


@dataclass(frozen=True)
class Record:
    """A study as it is stored.

    Attributes:
        settings: what the study was begun with. observations: all results, in the order in which they came.
        finished: (m,) places among them of the full trainings that did not fail. elapsed_s: (n,) from the beginning
            of the first training to each result. running: trainings without a result.
    """

    name: str
    space: Space
    settings: dict
    observations: tuple[Observation, ...]
    finished: np.ndarray
    elapsed_s: np.ndarray
    running: int = 0

    @cached_property
    def full(self) -> float | None:
        """The largest resource so far; None where trainings have no resource."""
        return max((o.resource for o in self.observations if o.resource is not None), default=None)

    @property
    def losses(self) -> np.ndarray:
        """(m,) of the full trainings."""
        return np.array([self.observations[n].loss for n in self.finished])

    @property
    def spent(self) -> np.ndarray:
        """(n,) in full trainings, at each result; a trial that goes on spends what is new."""
        reached: dict[int, float] = {}
        steps = []
        for o in self.observations:
            share = 1.0 if o.resource is None else o.resource / self.full
            steps.append(share - reached.get(o.trial, 0.0))
            reached[o.trial] = share
        return np.cumsum(steps)

    @property
    def best(self) -> list[Observation]:
        """The full trainings, least loss first."""
        return sorted((self.observations[n] for n in self.finished), key=lambda o: o.loss)

    @property
    def failures(self) -> list[Observation]:
        return [o for o in self.observations if o.failed]

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why trainings failed, and how many did, the most frequent first."""
        return Counter(o.reason or "unknown" for o in self.failures).most_common()

    @cached_property
    def agreements(self) -> list[Agreement]:
        """Between successive rungs; none where all trainings were full."""
        losses = {(o.trial, o.resource): o.loss for o in self.observations if not o.failed}
        return agreements(losses, sorted({o.resource for o in self.observations} - {None}))


@dataclass(frozen=True)
class Predictions:
    """Of each full training from all other trials.

    Attributes:
        loss: (m,) as it was. mean, low, high: (m,) predicted, with 95 %, in units of the loss. logarithmic: the process
            is of log losses. r2: share of the variance of (log) losses that is explained; below 0, the mean of all
            losses predicts better. rank: Spearman's correlation.
    """

    loss: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    logarithmic: bool
    r2: float
    rank: float


@dataclass(frozen=True)
class Fit:
    """A process of the losses of a study."""

    record: Record
    process: GaussianProcess
    trials: np.ndarray  # (n,) of its observations

    @property
    def logarithmic(self) -> bool:
        return self.process.model.transform is logarithm

    @property
    def unit(self) -> str:
        return "log loss" if self.logarithmic else "loss"

    def predict(self, configurations: list[Configuration]) -> np.ndarray:
        """Means (m,) of the (log) losses of full trainings."""
        return self.process.posterior(_rows(self.record, configurations, self.record.full))[0]

    def importance(self, seed: int = 0) -> Importance | None:
        """Of the hyper-parameters for the predicted (log) loss; None if all predictions are the same."""
        return importance(self.record.space, self.predict, seed)

    def predictions(self) -> Predictions:
        """See the head of this file."""
        inverse = self.process.factor.inverse.T @ self.process.factor.inverse
        z = (self.process.t - self.process.mean) / self.process.scale
        weights = inverse @ z
        found = []
        for n in self.record.finished:
            of_trial = np.flatnonzero(self.trials == self.record.observations[n].trial)
            covariance = np.linalg.inv(inverse[np.ix_(of_trial, of_trial)])
            last = -1  # a trial's full training is its last result
            mean = z[of_trial[last]] - (covariance @ weights[of_trial])[last]
            found.append((mean, np.sqrt(covariance[last, last])))
        mean, sd = np.array(found).T
        bounds = self.process.mean + self.process.scale * (mean + 1.96 * sd * np.array([[0], [-1], [1]]))
        loss = self.record.losses
        truth = np.log(loss) if self.logarithmic else loss
        r2 = 1 - ((truth - bounds[0]) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
        rank = float(spearmanr(truth, mean).statistic) if np.ptp(mean) > 0 else 0.0
        return Predictions(loss, *(np.exp(bounds) if self.logarithmic else bounds), self.logarithmic, float(r2), rank)


def fit(record: Record, seed: int = 0) -> Fit | None:
    """A process of all results; None if there are fewer than `LEAST` full trainings or all have the same loss."""
    if len(record.finished) < LEAST or np.ptp(record.losses) == 0:
        return None
    told = [o for o in record.observations if not o.failed]
    x = np.concatenate([_rows(record, [o.configuration], o.resource) for o in told])
    warped = tuple(np.flatnonzero(record.space.ordered))
    kernels = [matern_52(), matern_52(warped)] if warped else [matern_52()]
    if record.full is not None:
        kernels = [matern_52(), Decaying(matern_52(), _shortest(record) / record.full)]
    surrogate = Surrogate(np.empty((0, x.shape[1])), kernels, (identity, logarithm), seed)
    surrogate.update({n: (row, o.loss) for n, (row, o) in enumerate(zip(x, told, strict=True))}, {})
    return Fit(record, surrogate.processes[0], np.array([o.trial for o in told]))


def read(storage: str | Path, name: str | None = None) -> Record:
    """A study from its file, which is not written to.

    Args:
        storage: path of a journal or of an SQLite database, or the address of a database (it has "://"). name: of
            the study; not needed where there is only one.

    Raises:
        ValueError: there is no such study, or it has no results yet.
    """
    import optuna
    from optuna.trial import TrialState
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        backend = _storage(str(storage))
        names = sorted(study.study_name for study in backend.get_all_studies())
        if name is None and len(names) == 1:
            (name,) = names
        if name not in names:
            what = "several studies" if name is None else f"no study {name!r}"
            raise _NoStudyError(
                f"{storage} has {what}, name one of: {', '.join(names)}." if names else f"{storage} has no study."
            )
        study = optuna.load_study(study_name=name, storage=backend)
        described = study.user_attrs
    except (SQLAlchemyError, ValueError, KeyError, TypeError, UnicodeError) as error:
        if isinstance(error, _NoStudyError):
            raise
        raise ValueError(f"{storage} is no study (a journal or a database of Optuna's): {error}.") from error
    if "space" not in described:
        raise ValueError(f"The study {name!r} in {storage} was not made by this project's searches: it has no space.")
    records = ended(study)
    running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    if not records:
        raise ValueError(f"The study {name!r} in {storage} has no results yet ({running} trainings are running).")
    start = min(r.datetime_start for r in records if r.datetime_start is not None)
    return Record(
        name,
        Space.from_json(described["space"]),
        described.get("settings", {}),
        tuple(observation_of(r) for r in records),
        np.array([n for n, r in enumerate(records) if r.state == TrialState.COMPLETE], int),
        np.array([(r.datetime_complete - start).total_seconds() for r in records]),
        running,
    )


class _NoStudyError(ValueError):
    """The file is right, the name is not."""


def _storage(storage: str):
    """Read only: opened without the lock of those who write."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    path = Path(storage.removeprefix("sqlite:///"))
    if "://" in storage and path == Path(storage):
        return RDBStorage(storage)
    if not path.is_file():
        raise _NoStudyError(f"There is no file {path}.")
    with path.open("rb") as file:
        if file.read(15) == b"SQLite format 3":
            return RDBStorage(f"sqlite:///{path}")
    return JournalStorage(JournalFileBackend(str(path)))


def _shortest(record: Record) -> float:
    return min(o.resource for o in record.observations if not o.failed)


def _rows(record: Record, configurations: list[Configuration], resource: float | None) -> np.ndarray:
    """What the process is of: encoded configurations (m, d), with time (m, d + 1) where there are rungs."""
    encoded = record.space.encode(configurations)
    return encoded if record.full is None else with_time(encoded, resource, record.full, _shortest(record))


def running_median(losses: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """(m,) median of each loss and up to `window` - 1 before it."""
    return np.array([np.median(losses[max(0, n + 1 - window) : n + 1]) for n in range(len(losses))])
