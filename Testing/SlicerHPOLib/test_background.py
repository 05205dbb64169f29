"""Work in another process: it answers, reports, stops when told, and says what happened when it dies."""

import os
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from SlicerHPOLib.background import BackgroundTask, TaskError, python_executable
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Cancelled, Job
from SlicerHPOLib.worker import Request, segment_request

IMAGE = Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([2.0, 2, 3, 1]), "scan")
REQUEST = Request("any", IMAGE, {"model": "none"})


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which tasks make theirs."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def worker_that(tmp_path):
    """A BackgroundTask whose other process runs a script instead; it knows FOLDER, json and np."""

    def make(script: str) -> BackgroundTask:
        code, python = tmp_path / "script.py", tmp_path / "python"
        head = "import json, os, sys, time\nfrom pathlib import Path\nimport numpy as np\nFOLDER = Path(sys.argv[-1])\n"
        code.write_text(head + script)
        # As PythonSlicer does, the launcher waits for a child
        python.write_text(f'#!/bin/sh\n"{sys.executable}" "{code}" "$@"\nexit $?\n')
        python.chmod(python.stat().st_mode | stat.S_IEXEC)
        return BackgroundTask(str(python))

    return make


ANSWERS = (
    "np.savez(FOLDER / 'result.npz', twice=2 * np.load(FOLDER / 'voxels.npy', mmap_mode='r'))\n"
    "(FOLDER / 'result.json').write_text(json.dumps({'answer': json.loads((FOLDER / 'request.json').read_text()),"
    " 'warnings': ['Look.']}))\n"
)
HANGS = (
    "(FOLDER.parent.parent / 'pid').write_text(str(os.getpid()))\n"
    "print(json.dumps({'fraction': 0.4, 'text': 'busy'}), flush=True)\n"
    "time.sleep(60)\n"
)


def poll_until(task, condition, timeout_s=20.0):
    stop = time.monotonic() + timeout_s
    while not condition(status := task.poll()):
        assert time.monotonic() < stop, status
        time.sleep(0.01)
    return status


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0]


def test_question_and_answer_pass_whole_and_leave_no_file(worker_that, temporary):
    task = worker_that(ANSWERS)
    for voxels in (IMAGE.voxels, np.asfortranarray(IMAGE.voxels), IMAGE.voxels[:, ::-1]):
        task.start(Request("any", Image(voxels, IMAGE.ijk_to_ras, "scan"), {"seed": [1.5, 2, 3]}))
        answer = task.wait()
        np.testing.assert_array_equal(answer.arrays["twice"], 2 * voxels)
        assert answer.values["options"] == {"seed": [1.5, 2, 3]} and answer.values["name"] == "scan"
        assert answer.values["ijk_to_ras"] == IMAGE.ijk_to_ras.tolist()
        assert answer.warnings == ("Look.",) and task.poll().state == "done" and task.poll().fraction == 1.0
        assert not list(temporary.iterdir())


def test_progress_is_reported_and_what_else_is_printed_is_not(worker_that):
    task = worker_that("print('a library talks')\n" + HANGS)
    task.start(REQUEST)
    status = poll_until(task, lambda status: status.text == "busy")
    assert (status.state, status.fraction) == ("running", 0.4)
    task.cancel()


def test_cancelling_ends_the_process_and_its_child_within_a_second_and_leaves_no_file(worker_that, temporary):
    task = worker_that(HANGS)
    task.start(REQUEST)
    poll_until(task, lambda status: status.text == "busy")
    pid = int((temporary.parent / "pid").read_text())
    assert is_alive(pid)
    start = time.monotonic()
    task.cancel()
    assert time.monotonic() - start < 1
    while is_alive(pid):
        assert time.monotonic() - start < 1
    assert task.poll().state == "cancelled" and not list(temporary.iterdir())
    with pytest.raises(Cancelled):
        task.answer()
    task.cancel()


def test_a_job_cancels_waiting(worker_that, temporary):
    task = worker_that(HANGS)
    task.start(REQUEST)
    job = Job(lambda fraction, text: fraction > 0.3 and job.cancel())
    with pytest.raises(Cancelled):
        task.wait(job)
    assert task.poll().state == "cancelled" and not list(temporary.iterdir())


def test_starting_again_drops_what_was_running(worker_that, temporary):
    task = worker_that(f"if 'slow' in (FOLDER / 'request.json').read_text():\n    time.sleep(60)\n{ANSWERS}")
    task.start(Request("slow", IMAGE, {}))
    time.sleep(0.1)
    task.poll()
    task.start(Request("any", IMAGE, {}))
    assert task.wait().values["task"] == "any"
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("os.kill(os.getppid(), 9)", "the system stopped it, most often because memory ran out"),
        ("os.kill(os.getppid(), 11)", "it crashed with signal 11"),
        ("raise SystemExit('no room')", r"it ended with code 1 \(no room\)"),
        ('(FOLDER / \'result.json\').write_text(\'{"error": "No kidney.", "log": "trace"}\')', "^No kidney.$"),
    ],
)
def test_a_death_is_told_in_words_and_leaves_no_file(worker_that, temporary, script, message):
    task = worker_that(script)
    task.start(REQUEST)
    status = poll_until(task, lambda status: status.state != "running")
    assert status.state == "failed"
    with pytest.raises(TaskError, match=message) as error:
        task.answer()
    assert str(error.value) == status.text
    assert not list(temporary.iterdir())


def test_an_interpreter_that_is_not_there_is_told():
    task = BackgroundTask("/nowhere/python")
    task.start(REQUEST)
    with pytest.raises(TaskError, match=r"could not be started: .*nowhere/python"):
        task.wait()


def test_a_full_disk_is_told(worker_that, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    task = worker_that(ANSWERS)
    task.start(REQUEST)
    with pytest.raises(TaskError, match="No space left on device"):
        task.wait()


def test_without_a_start_there_is_no_answer():
    task = BackgroundTask()
    assert task.poll().state == "idle"
    task.cancel()
    with pytest.raises(TaskError, match="no answer yet"):
        task.answer()


def test_slicers_python_is_taken_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert python_executable() == sys.executable
    (tmp_path / "PythonSlicer").write_text("")
    (tmp_path / "PythonSlicer").chmod(0o755)
    assert python_executable() == str(tmp_path / "PythonSlicer")


def test_a_volume_of_300_mb_is_handed_over_without_a_copy_and_without_a_pause(worker_that):
    task = worker_that(
        "np.savez(FOLDER / 'result.npz')\n(FOLDER / 'result.json').write_text('{\"answer\": {}, \"warnings\": []}')"
    )
    voxels = np.ones((300, 500, 1000), np.int16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    longest, start = 0.0, time.monotonic()
    task.start(Request("any", Image(voxels, np.eye(4)), {}))
    while task.poll().state == "running":
        longest, start = max(longest, time.monotonic() - start), time.monotonic()
    assert task.answer().values == {}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB
    print(f"longest poll {longest:.3f} s")


def test_the_asking_side_imports_no_network():
    code = (
        "import sys\nimport SlicerHPOLib.background, SlicerHPOLib.worker\n"
        "from SlicerHPOLib.fieldofview import classifier\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_real_worker_runs_from_any_folder_and_answers_errors_of_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SlicerHPOLib.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    task = BackgroundTask(sys.executable)
    task.start(segment_request(IMAGE, model="no-such-model", method="deformation"))
    with pytest.raises(TaskError, match="No model 'no-such-model'") as error:
        task.wait()
    assert "Traceback" in error.value.log
