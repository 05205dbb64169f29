"""A folder of volumes classified in another process: python -m SlicerHPOLib.foldertask FOLDER MODEL.

It writes a line of JSON for each volume as soon as that is finished, {"result": {...}, "error": ...}, or why nothing
can be done, {"failed": ...}; texts are `packed`, so that they still can be translated where they are shown.

Driven as `BackgroundTask` is, by a window's timer or a plain loop. What is finished is there while the rest goes on,
and stays when the work is stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path

from .background import Status, TaskError, kill, launch, python_executable, wait_for, why_died
from .batch import classify
from .job import Job
from .results import Result, entry_of, result_of
from .words import _, packed, unpacked
from .worker import message_of

_RESULTS, _LOG = "results.jsonl", "log.txt"


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
        self._unread = ""
        self._failed = ""  # what the other process says of why it cannot go on
        self._error: TaskError | None = None
        self.results: list[Result] = []

    def start(self, folder: str | os.PathLike, model: str) -> None:
        """Begins; what was running is cancelled."""
        self.cancel()
        self.results, self._error, self._unread, self._failed = [], None, "", ""
        self._folder = tempfile.TemporaryDirectory(prefix="slicerhpo-", ignore_cleanup_errors=True)
        self._status = Status("running", 0.0, _("looking for volumes"))
        command = [self._python, "-m", __name__, str(Path(folder).absolute()), str(model)]
        try:
            with (self._path / _RESULTS).open("w") as results, (self._path / _LOG).open("w") as log:
                self._process = launch(command, self._path, results, log)
        except OSError as error:
            self._end("failed", TaskError(_("The computation could not be started: {error}.").format(error=error)))
        else:
            self._output = (self._path / _RESULTS).open(encoding="utf-8")

    def poll(self) -> Status:
        """How far it is; the fraction stays 0, as nobody knows how many volumes there are to come."""
        if self._status.state == "running":
            ended = self._process.poll()
            self._read_results()
            if ended == 0:
                self._end("done")
            elif ended is not None:
                log = (self._path / _LOG).read_text(encoding="utf-8", errors="replace")
                self._end("failed", TaskError(self._failed or why_died(ended, log), log))
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
        *lines, self._unread = (self._unread + self._output.read()).split("\n")
        for line in lines:
            try:
                said = json.loads(line)
                if "failed" in said:
                    self._failed = unpacked(said["failed"])
                else:
                    self.results = [*self.results, replace(result_of(said["result"]), error=unpacked(said["error"]))]
            except (ValueError, TypeError, KeyError):
                continue  # a library that prints
        if lines and (count := len(self.results)):
            text = _("{count} volume done") if count == 1 else _("{count} volumes done")
            self._status = Status("running", 0.0, text.format(count=count))

    def _end(self, state: str, error: TaskError | None = None) -> None:
        if self._process is not None:
            kill(self._process)
            self._output.close()
        self._process = None
        self._folder.cleanup()
        self._error = error
        self._status = Status(state, float(state == "done"), str(error or ""))


def main(folder: str, model: str) -> int:
    """Classifies the volumes in a folder; 0 if there is a result for each, be it an error, 1 if nothing can be done."""

    def say(**content) -> None:
        print(json.dumps(content), flush=True)

    try:
        classify(
            folder,
            model=model,
            on_result=lambda result: say(result=entry_of(result), error=packed(result.error)),
        )
    except Exception as error:
        traceback.print_exc()
        say(failed=packed(message_of(error)))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
