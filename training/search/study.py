"""A search that outlives its process: its trainings are kept in Optuna's storage, and any method goes on from them.

Each training, of a trial up to a resource, is a trial of Optuna's: complete at the full resource, pruned where it was
stopped on a rung, failed, or running. So Optuna's dashboard, plots and importance read a study while it runs. A method
is a function of what it was told, so whoever opens the study tells a new one everything and asks on. A training that
was running when its process died is handed out again first, with the same number, to go on from its checkpoint: of
this machine it is known who lives, and on others workers give a sign of life every `BEAT_S`. (Optuna's own heartbeat
fails such a trial instead, and databases alone have it.)

The storage is a journal file (`search.log`) or a database (`sqlite:///search.db`, `postgresql+psycopg://...`). Several
processes may share it, of one machine if it is a file: each asks and tells while it holds the storage's lock, and
learns first what the others have done.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from SlicerHPOLib.job import Job

from ..lock import locked
from .engine import Engine, InTurn, Train
from .method import Method, Observation, Suggestion
from .space import Continuous, Integer, Space

if TYPE_CHECKING:
    import optuna

SQLITE = "sqlite:///"
LOCK = 2_718_281_828  # of all studies in a PostgreSQL database; any number that others do not lock
JOURNAL = b'{"op_code":'  # how Optuna's journals begin
BEAT_S, SILENT_S = 30.0, 300.0  # between signs of life; without one, a worker elsewhere is dead
HOPELESS = 10  # failures without any success after which something other than the configurations is wrong


class SupersededError(ValueError):
    """Another worker has brought the result of this training before."""


class Study:
    """A method whose suggestions and observations are kept.

    Args:
        storage: path of a journal file, or the address of a database (it has "://"). name: of the study in it.
        space: that is searched. method: new, nothing asked or told yet. settings: JSON values that describe the
            method, its seed and what is trained; a study goes on only with the same.

    Raises:
        ValueError: the storage holds a study of this name with another space or other settings, or no studies.
    """

    def __init__(self, storage: str | Path, name: str, space: Space, method: Method, settings: dict | None = None):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.method = method
        self._lock, backend = _opened(str(storage))
        with self._lock():
            self.optuna = optuna.create_study(storage=backend, study_name=name, load_if_exists=True)
            self._check(str(storage), {"space": space.as_json(), "settings": settings or {}})
        self._numbers: dict[tuple[int, float | None], int] = {}  # of Optuna's trials, by trial and resource
        self._told: set[int] = set()
        self._mine: set[tuple[int, float | None]] = set()  # trainings that this process was given
        with self._lock():
            self._catch_up()

    @property
    def observations(self) -> list[Observation]:
        """All results, in the order in which they came."""
        return [observation_of(record) for record in self._finished()]

    def ask(self, count: int = 1) -> list[Suggestion]:
        """Trainings to do, first those that a process which died has left; see `Method.ask`."""
        with self._lock():
            self._catch_up()
            suggestions = self._left()[:count]
            for suggestion in suggestions:
                record = self._record(suggestion)
                record.set_user_attr("worker", _worker())
                record.set_user_attr("seen", time.time())
            for suggestion in self.method.ask(count - len(suggestions)):
                self._numbers[suggestion.trial, suggestion.resource] = len(self.optuna.get_trials(deepcopy=False))
                self.optuna.add_trial(_running(self.space, suggestion))
                suggestions.append(suggestion)
            self._mine |= {(suggestion.trial, suggestion.resource) for suggestion in suggestions}
        return suggestions

    def tell(self, observation: Observation) -> None:
        """Keep a result.

        Raises:
            SupersededError: there is one, from another worker. ValueError: none is awaited from this trial at this
                resource.
        """
        from optuna.trial import TrialState

        with self._lock():
            self._catch_up()
            number = self._numbers.get((observation.trial, observation.resource))
            if number is None or number in self._told:
                raise (ValueError if number is None else SupersededError)(
                    f"The study awaits no result of trial {observation.trial} at resource {observation.resource}."
                )
            record = self._record(observation)
            if observation.cost_s is not None:
                record.set_user_attr("cost_s", observation.cost_s)
            if observation.failed:
                record.set_user_attr("reason", observation.reason or "unknown")
                self.optuna.tell(number, state=TrialState.FAIL)
            elif observation.resource is None or observation.resource == getattr(self.method, "resource", None):
                self.optuna.tell(number, observation.loss)
            else:
                record.report(observation.loss, int(observation.resource))
                self.optuna.tell(number, state=TrialState.PRUNED)
            self._catch_up()

    def run(
        self,
        train: Train,
        trainings: int,
        job: Job = Job(),
        engine: Callable[[Train], Engine] = InTurn,
    ) -> Observation | None:
        """Train until the study has `trainings` results or the method is done; returns the best at the full resource.

        Args:
            train: does a suggestion and returns its loss. What it raises is a failure of the configuration, kept with
                its reason; `Cancelled` and Ctrl-C leave the training to whoever goes on.
            engine: where trainings are done, given `train`; by default here, one after the other.

        Raises:
            ValueError: all trainings failed, or the first `HOPELESS`.
        """
        with self._beating():
            self._run(engine(train), trainings, job)
        self._stop_if_hopeless(1)
        return self.best

    def _run(self, at_work: Engine, trainings: int, job: Job) -> None:
        start, before, running = time.monotonic(), len(self.observations), 0
        while (done := len(self.observations)) < trainings:
            free = min(at_work.slots, trainings - done) - running
            for suggestion in self.ask(free) if free > 0 else ():
                at_work.start(suggestion)
                running += 1
            if not running:
                break
            best = self.best
            left = (time.monotonic() - start) / max(1, done - before) * (trainings - done)
            text = f"training {done + 1} of {trainings}" + (f", best {best.loss:.4g}" if best else "")
            job.progress(done / trainings, text + (f", {left / 60:.0f} min left" if done > before else ""))
            for observation in at_work.wait():
                with suppress(SupersededError):  # this worker was believed dead
                    self.tell(observation)
                running -= 1
            self._stop_if_hopeless(HOPELESS)

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Meanwhile, give signs of life for the trainings of this process."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S):
                with suppress(Exception), self._lock():  # a storage that is away may come back
                    for _record, suggestion in self._under_way():
                        if (suggestion.trial, suggestion.resource) in self._mine:
                            self._record(suggestion).set_user_attr("seen", time.time())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @property
    def best(self) -> Observation | None:
        """The least loss of a full training; None while there is none."""
        full = getattr(self.method, "resource", None)
        finished = [o for o in self.observations if not o.failed and o.resource in (None, full)]
        return min(finished, key=lambda o: o.loss, default=None)

    def _stop_if_hopeless(self, least: int) -> None:
        results = self.observations
        if len(results) >= least and all(observation.failed for observation in results):
            raise ValueError(f"All {len(results)} trainings failed, the last because: {results[-1].reason}.")

    def _catch_up(self) -> None:
        """Tell the method what is in the storage and new to it, in the order in which it came."""
        for record in self._finished():
            if record.number not in self._told:
                self._told.add(record.number)
                observation = observation_of(record)
                self._numbers[observation.trial, observation.resource] = record.number
                self.method.tell(observation)
        for record, suggestion in self._under_way():
            key = suggestion.trial, suggestion.resource
            if key not in self._numbers:
                self._numbers[key] = record.number
                self.method.take_up(suggestion)

    def _left(self) -> list[Suggestion]:
        """Trainings of processes that died."""
        return [
            suggestion
            for record, suggestion in self._under_way()
            if (suggestion.trial, suggestion.resource) not in self._mine and not _alive(**record.user_attrs)
        ]

    def _under_way(self) -> list[tuple[optuna.trial.FrozenTrial, Suggestion]]:
        from optuna.trial import TrialState

        records = self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [(r, Suggestion(r.params, r.user_attrs["trial"], r.user_attrs["resource"])) for r in records]

    def _finished(self) -> list[optuna.trial.FrozenTrial]:
        return ended(self.optuna)

    def _record(self, entry: Suggestion | Observation) -> optuna.trial.Trial:
        """Optuna's trial, to write to."""
        from optuna.trial import Trial

        number = self._numbers[entry.trial, entry.resource]
        return Trial(self.optuna, self.optuna.get_trials(deepcopy=False)[number]._trial_id)

    def _check(self, storage: str, described: dict) -> None:
        for what, value in described.items():
            kept = self.optuna.user_attrs.get(what)
            if kept is None:
                self.optuna.set_user_attr(what, value)
            elif _plain(kept) != _plain(value):
                raise ValueError(
                    f"{storage} has a study {self.optuna.study_name!r} with another {what}: {kept}. Expected {value}; "
                    "give this one another name, or search on with what it was begun with."
                )


def _running(space: Space, suggestion: Suggestion) -> optuna.trial.FrozenTrial:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState, create_trial

    distributions = {}
    for parameter in space.parameters:
        if isinstance(parameter, (Continuous, Integer)):
            kind = FloatDistribution if isinstance(parameter, Continuous) else IntDistribution
            distributions[parameter.name] = kind(parameter.low, parameter.high, log=parameter.log)
        else:
            distributions[parameter.name] = CategoricalDistribution(parameter.values)
    return create_trial(
        state=TrialState.RUNNING,
        params=suggestion.configuration,
        distributions={name: distributions[name] for name in suggestion.configuration},
        user_attrs={
            "trial": suggestion.trial,
            "resource": suggestion.resource,
            "worker": _worker(),
            "seen": time.time(),
        },
    )


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trainings that have a result, in the order in which it came. One that two workers both did, having asked a
    database at the same moment, counts as the first of them."""
    records = [record for record in study.get_trials(deepcopy=False) if record.state.is_finished()]
    first: dict[tuple[int, float | None], optuna.trial.FrozenTrial] = {}
    for record in sorted(records, key=lambda r: (r.datetime_complete, r.number)):
        first.setdefault((record.user_attrs["trial"], record.user_attrs["resource"]), record)
    return list(first.values())


def observation_of(record: optuna.trial.FrozenTrial) -> Observation:
    """What came of a training, from Optuna's trial of it."""
    attributes = record.user_attrs
    return Observation(
        record.params,
        attributes["trial"],
        record.value,  # of a pruned trial, what it reported last
        attributes["resource"],
        attributes.get("cost_s"),
        attributes.get("reason"),
    )


def _opened(storage: str) -> tuple[Callable, optuna.storages.BaseStorage]:
    """A lock between processes, and the storage behind it."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    is_file = "://" not in storage or storage.startswith(SQLITE)
    path = Path(storage.removeprefix(SQLITE)).resolve()
    lock = partial(locked, path) if is_file else _locked_database(storage)
    try:
        with lock():
            if "://" in storage:
                return lock, RDBStorage(storage)
            _keep_whole_lines(path)
            return lock, JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock()))
    except (SQLAlchemyError, ValueError, KeyError) as error:
        raise ValueError(f"{storage} holds no studies, or cannot be opened: {error}.") from error


def _locked_database(address: str) -> Callable:
    """A lock that PostgreSQL keeps and frees when a process dies. Other kinds of databases have none here."""
    from sqlalchemy import create_engine, text

    try:
        engine = create_engine(address)
    except ImportError as error:
        raise ValueError(
            f"The database needs a driver ({error}): pip install 'psycopg[binary]', and begin the address with "
            "postgresql+psycopg://."
        ) from error
    if engine.dialect.name != "postgresql":
        return nullcontext

    @contextmanager
    def lock() -> Iterator[None]:
        with engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            yield

    return lock


class _NoLock:
    """For Optuna's journal: whoever writes holds the study's lock, which does not outlive its process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _keep_whole_lines(path: Path) -> None:
    """A process that is killed while it writes leaves half a line, which Optuna refuses to read past.

    Raises:
        ValueError: the file is no journal; it is left as it is.
    """
    content = path.read_bytes() if path.exists() else b""
    if not JOURNAL.startswith(content[: len(JOURNAL)]):
        raise ValueError("it is no journal; give another name, or the address of a database")
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _alive(worker: str, seen: float = 0.0, **_others) -> bool:
    """Whether a worker's process may still be at work: another of this machine that exists, or one elsewhere that has
    given a sign of life lately (seconds since 1970; the machines' clocks agree to some minutes)."""
    host, pid = worker.rsplit(":", 1)
    if host != socket.gethostname():
        return time.time() - seen < SILENT_S
    if int(pid) == os.getpid():
        return False  # an earlier study object of this process
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _plain(value):
    """As it comes back from JSON."""
    import json

    return json.loads(json.dumps(value))
