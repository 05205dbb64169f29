"""One contract for long work: report progress, and stop within a second of being cancelled.

A function that can take over a second takes ``job: Job = Job()``, calls ``job.progress(fraction, text)`` as it goes,
and so both reports and gives the caller the chance to stop it: `progress` raises `Cancelled` once `cancel` has been
called, from any thread. The console, the Slicer modules and the training system each pass a job that shows progress in
their own way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .words import _


class Cancelled(Exception):  # noqa: N818 (it is no error: the user asked for it)
    """The user cancelled the work; nothing half-written is left behind."""


class Job:
    """Progress and cancellation of one piece of work.

    Args:
        report: called as ``report(fraction, text)`` with a fraction in [0, 1]; None reports to nobody.
    """

    def __init__(self, report: Callable[[float, str], None] | None = None):
        self._report = report
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop; safe from any thread, any number of times."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """True once `cancel` has been called."""
        return self._cancelled.is_set()

    def progress(self, fraction: float, text: str = "") -> None:
        """Report that `fraction` of the work is done. Raises `Cancelled` if the work was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled(_("The work was cancelled."))
        if self._report is not None:
            self._report(min(max(float(fraction), 0.0), 1.0), text)

    def part(self, start: float, stop: float) -> Job:
        """A job for a part of this one: its progress 0..1 is this job's start..stop; both are cancelled together."""
        inner = Job(lambda fraction, text: self.progress(start + fraction * (stop - start), text))
        inner._cancelled = self._cancelled
        return inner
