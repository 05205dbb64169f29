"""A folder of volumes classified in another process: the command `slicerhpo classify`, as it is typed on a terminal.

Driven as `BackgroundTask` is, by a window's timer or a plain loop. What is finished is there while the rest goes on,
and stays when the work is stopped.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from .background import Status, TaskError, kill, launch, python_executable, wait_for
from .job import Job
from .results import Result, read_json

_RESULTS, _LOG = "results.json", "log.txt"
_SOME_FAILED = (0, 1, 2)  # exit codes with which there can be results, see `__main__`


class FolderTask:
    """The volumes in a folder, one after the other.

    Args:
        python: the interpreter; see `python_executable`.

    Attributes:
        results: of the volumes that are finished, in order; those that could not be classified say why.
        warnings: what the user should know about the way there; nothing so far.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, python: str | None = None):
        self._python = python or python_executable()
        self._status = Status("idle")
        self._folder: tempfile.TemporaryDirectory | None = None
        self._process: subprocess.Popen | None = None
        self._written = -1
        self._error: TaskError | None = None
        self.results: list[Result] = []

    def start(self, folder: str | os.PathLike, model: str) -> None:
        """Begins; what was running is cancelled."""
        self.cancel()
        self.results, self._error, self._written = [], None, -1
        self._folder = tempfile.TemporaryDirectory(prefix="slicerhpo-", ignore_cleanup_errors=True)
        self._status = Status("running", 0.0, "looking for volumes")
        command = [self._python, "-m", __package__, "classify", str(Path(folder).absolute())]
        command += ["--model", str(model), "--json", str(self._path / _RESULTS), "--quiet"]
        try:
            with (self._path / _LOG).open("w") as log:
                self._process = launch(command, self._path, log, log)
        except OSError as error:
            self._end("failed", TaskError(f"The computation could not be started: {error}."))

    def poll(self) -> Status:
        """How far it is; the fraction stays 0, as nobody knows how many volumes there are to come."""
        if self._status.state == "running":
            ended = self._process.poll()
            self._read_results()
            if ended is not None:
                log = (self._path / _LOG).read_text(encoding="utf-8", errors="replace")
                if self.results and ended in _SOME_FAILED:
                    self._end("done")
                else:
                    self._end("failed", TaskError(_last_line(log) or f"The computation ended with code {ended}.", log))
        return self._status

    def cancel(self) -> None:
        """Stops it; what is finished stays in `results`. Nothing happens where nothing is running."""
        if self._status.state == "running":
            self._read_results()
            self._end("cancelled")

    def wait(self, job: Job = Job()) -> list[Result]:
        """The results when all are there. Raises `TaskError`, or `Cancelled` by the job."""
        wait_for(self, job)
        if self._error is not None:
            raise self._error
        return self.results

    @property
    def error(self) -> TaskError | None:
        """Why it failed."""
        return self._error

    @property
    def _path(self) -> Path:
        return Path(self._folder.name)

    def _read_results(self) -> None:
        path = self._path / _RESULTS
        written = path.stat().st_mtime_ns if path.exists() else -1
        if written != self._written:  # replaced as a whole after each volume
            self._written = written
            self.results = read_json(path)
            count = len(self.results)
            self._status = Status("running", 0.0, f"{count} volume{'s' if count > 1 else ''} done")

    def _end(self, state: str, error: TaskError | None = None) -> None:
        if self._process is not None:
            kill(self._process)
        self._process = None
        self._folder.cleanup()
        self._error = error
        self._status = Status(state, float(state == "done"), str(error or ""))


def _last_line(log: str) -> str:
    """What the command said last, without its name."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1].removeprefix("slicerhpo: error: ").removeprefix("slicerhpo: ") if lines else ""
