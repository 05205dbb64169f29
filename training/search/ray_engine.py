"""Trainings on the machines of a Ray cluster, several at a time; Ray decides where, and replaces workers that die.

The study stays with the process that asks and tells, so nothing but the trainings moves. A training whose worker died
is begun again by Ray with the same suggestion, and so goes on from its checkpoint, if the machines share the folder of
the trials. Ray is looked for at RAY_ADDRESS, else started on this machine.
"""

from __future__ import annotations

from .engine import Train, trained
from .method import Observation, Suggestion

RETRIES = 3  # of a training whose worker died, which may be its own doing: then it has failed


class RayEngine:
    """See `Engine`.

    Args:
        train: does a suggestion; must pickle. workers: trainings at a time. gpus: of each training, a fraction to
            share one.

    Raises:
        ValueError: Ray is not installed.
    """

    def __init__(self, train: Train, workers: int, gpus: float = 0.0):
        try:
            import ray
        except ImportError as error:
            raise ValueError("The engine ray needs the package ray: pip install ray.") from error
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self._ray = ray
        self.slots = workers
        self._train = ray.put(train)
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(trained)
        self._running: dict = {}

    def start(self, suggestion: Suggestion) -> None:
        """See `Engine`."""
        self._running[self._task.remote(self._train, suggestion)] = suggestion

    def wait(self) -> list[Observation]:
        """See `Engine`."""
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=1)
        return [self._result(reference, self._running.pop(reference)) for reference in done]

    def _result(self, reference, suggestion: Suggestion) -> Observation:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            reason = f"{type(error).__name__}: its worker died {RETRIES + 1} times"
            return Observation(suggestion.configuration, suggestion.trial, None, suggestion.resource, reason=reason)
