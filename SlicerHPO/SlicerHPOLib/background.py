"""The side that asks `worker` for an answer: without threads, so that a window's timer or a plain loop can drive it.

    task = BackgroundTask()
    task.start(segment_request(image, model="kidney-ultrasound", method="deformation"))
    while task.poll().state == "running":  # in a window: from a timer, every 100 ms
        ...
    answer = task.answer()

No call takes longer than a tenth of a second, but `wait`: a large volume is handed over piece by piece, in `poll`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from .job import Cancelled, Job
from .words import _, named, unpacked
from .worker import ANSWER, ARRAYS, REQUEST, VOXELS, Answer, Request

PROGRESS, LOG = "progress.jsonl", "log.txt"
PIECE_BYTES, SLICE_S = 1 << 23, 0.05  # written in one go, and spent on writing in one poll
POLL_S = 0.02  # between two looks of `wait`


class TaskError(RuntimeError):
    """The work failed; the message says why, `log` has what the other process said."""

    def __init__(self, message: str, log: str = ""):
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Status:
    """state: "idle", "running", "done", "failed" or "cancelled". fraction: of the work, 0 to 1. text: what is being
    done, or the error."""

    state: str
    fraction: float = 0.0
    text: str = ""


class BackgroundTask:
    """One question, answered in another process.

    Args:
        python: the interpreter; see `python_executable`.
    """

    def __init__(self, python: str | None = None):
        self._python = python or python_executable()
        self._status = Status("idle")
        self._writing: Iterator[None] | None = None
        self._process: subprocess.Popen | None = None
        self._folder: tempfile.TemporaryDirectory | None = None
        self._unread = ""
        self._answer: Answer | None = None
        self._error: TaskError | None = None

    def start(self, request: Request) -> None:
        """Begins; what was running is cancelled. The image's voxels must not change until the first progress."""
        self.cancel()
        self._answer = self._error = None
        self._unread = ""
        self._status = Status("running", 0.0, _("handing over the volume"))
        self._folder = tempfile.TemporaryDirectory(prefix="slicerhpo-", ignore_cleanup_errors=True)
        self._writing = _written(request, self._path)

    def poll(self) -> Status:
        """How far it is."""
        if self._status.state == "running":
            try:
                self._go_on()
            except OSError as error:
                self._end("failed", TaskError(_("The computation could not be started: {error}.").format(error=error)))
        return self._status

    def answer(self) -> Answer:
        """The answer. Raises TaskError if it failed or is not there yet, `Cancelled` if it was cancelled."""
        if self._status.state == "cancelled":
            raise Cancelled(_("The work was cancelled."))
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise TaskError(_("There is no answer yet."))
        return self._answer

    def cancel(self) -> None:
        """Stops it, within a second, and removes its files; nothing happens where nothing is running."""
        if self._status.state == "running":
            self._end("cancelled")

    def wait(self, job: Job = Job()) -> Answer:
        """The answer, when it is there. Raises `TaskError`, or `Cancelled` by the job."""
        wait_for(self, job)
        return self.answer()

    @property
    def _path(self) -> Path:
        return Path(self._folder.name)

    def _go_on(self) -> None:
        if self._process is None:
            stop = time.monotonic() + SLICE_S
            for _piece in self._writing:
                if time.monotonic() > stop:
                    return
            self._launch()
            return
        ended = self._process.poll()
        self._read_progress()
        if ended is not None:
            self._read_answer(ended)

    def _launch(self) -> None:
        with (self._path / PROGRESS).open("w") as progress, (self._path / LOG).open("w") as log:
            command = [self._python, "-m", f"{__package__}.worker", self._folder.name]
            self._process = launch(command, self._path, progress, log)
        self._status = Status("running", 0.0, _("starting"))
        self._progress = (self._path / PROGRESS).open(encoding="utf-8")

    def _read_progress(self) -> None:
        *lines, self._unread = (self._unread + self._progress.read()).split("\n")
        for line in lines:
            try:
                said = json.loads(line)
                self._status = Status("running", float(said["fraction"]), unpacked(said["text"]))
            except (ValueError, TypeError, KeyError):
                continue  # a library that prints

    def _read_answer(self, ended: int) -> None:
        log = (self._path / LOG).read_text(encoding="utf-8", errors="replace")
        try:
            content = json.loads((self._path / ANSWER).read_text(encoding="utf-8"))
            if "error" not in content:
                with np.load(self._path / ARRAYS, allow_pickle=False) as arrays:
                    self._answer = Answer(content["answer"], dict(arrays), tuple(map(unpacked, content["warnings"])))
                return self._end("done")
            error = TaskError(unpacked(content["error"]), f"{content['log']}\n{log}".strip())
        except FileNotFoundError:
            error = TaskError(why_died(ended, log), log)
        return self._end("failed", error)

    def _end(self, state: str, error: TaskError | None = None) -> None:
        if self._process is not None:
            kill(self._process)
            self._progress.close()
        self._writing = self._process = None
        self._folder.cleanup()
        self._error = error
        self._status = Status(state, float(state == "done"), str(error or ""))


def wait_for(task, job: Job) -> None:
    """Polls a task until it has ended and reports its progress; a cancelled job cancels it and raises `Cancelled`."""
    try:
        while (status := task.poll()).state == "running":
            job.progress(status.fraction, status.text)
            time.sleep(POLL_S)
    finally:
        task.cancel()


def python_executable() -> str:
    """The Python that runs scripts: PythonSlicer within Slicer, whose own executable is no Python, else this one."""
    return shutil.which("PythonSlicer") or sys.executable


def launch(command: Sequence[str], folder: Path, output: IO[str], log: IO[str]) -> subprocess.Popen:
    """Starts a process of Python that finds this library, in an empty folder; `kill` ends it."""
    library = str(Path(__file__).resolve().parents[1])
    paths = [library, os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        list(command),
        cwd=folder,  # -m looks for packages there first
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=log,
        start_new_session=True,  # see kill
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def kill(process: subprocess.Popen) -> None:
    """Ends a process with its children: PythonSlicer is a launcher, whose child is the Python that works."""
    if process.poll() is None:
        if os.name == "nt":
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=5)


def _written(request: Request, folder: Path) -> Iterator[None]:
    """Writes the question, pausing after every few megabytes; a volume in memory is not copied as a whole."""
    image = request.image
    given = {
        "task": request.task,
        "options": dict(request.options),
        "name": image.name,
        "ijk_to_ras": image.ijk_to_ras.tolist(),
    }
    (folder / REQUEST).write_text(json.dumps(given), encoding="utf-8")
    header = {
        "descr": np.lib.format.dtype_to_descr(image.voxels.dtype),
        "fortran_order": False,
        "shape": image.shape,
    }
    step = max(1, PIECE_BYTES // max(1, image.voxels[0].nbytes))
    with (folder / VOXELS).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, len(image.voxels), step):
            file.write(np.ascontiguousarray(image.voxels[first : first + step]).data)
            yield


def why_died(code: int, log: str) -> str:
    """What to tell of a process that ended without an answer."""
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    if code == -9:  # SIGKILL
        why = _("the system stopped it, most often because memory ran out. Close other programs and try again.")
    elif code < 0:
        why = _("it crashed with signal {signal}.").format(signal=-code)
    elif last:
        why = _("it ended with code {code} ({last}).").format(code=code, last=last)
    else:
        why = _("it ended with code {code}.").format(code=code)
    return named(_("The computation gave no answer"), why)
