"""A folder is classified in another process, which tells what is finished, can be stopped, and fails in words."""

import time

import pytest
from SlicerHPOLib import foldertask
from SlicerHPOLib.background import TaskError
from SlicerHPOLib.foldertask import FolderTask
from SlicerHPOLib.job import Cancelled, Job


@pytest.fixture
def task(monkeypatch, tmp_path):
    """A task that leaves its temporary folder below `tmp_path`, where what is left over is seen."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(foldertask.tempfile, "tempdir", str(tmp_path / "temporary"))
    task = FolderTask()
    yield task
    task.cancel()
    assert not any((tmp_path / "temporary").iterdir())


def test_each_volume_gets_its_result_also_one_that_fails(task, tiny_model, volume, tmp_path):
    volume(tmp_path / "scans" / "a.nii.gz")
    (tmp_path / "scans" / "b.nii.gz").write_bytes(b"nothing")
    task.start(tmp_path / "scans", str(tiny_model))
    texts = []
    a, b = task.wait(Job(lambda fraction, text: texts.append(text)))
    assert a.regions
    assert not a.error
    assert b.error
    assert texts[0] == "looking for volumes"
    assert task.poll().state == "done"


def test_cancelling_stops_the_process_at_once(task, tiny_model, volume, tmp_path):
    volume(tmp_path / "scans" / "a.nii.gz")
    task.start(tmp_path / "scans", str(tiny_model))
    process = task._process
    begin = time.monotonic()
    task.cancel()
    assert time.monotonic() - begin < 1
    assert process.poll() is not None
    assert task.poll().state == "cancelled"
    assert task.results == []


def test_a_cancelled_job_stops_the_wait_and_the_process(task, tiny_model, volume, tmp_path):
    volume(tmp_path / "scans" / "a.nii.gz")
    task.start(tmp_path / "scans", str(tiny_model))
    process = task._process
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        task.wait(job)
    assert process.poll() is not None


def test_a_model_that_does_not_exist_is_an_error_in_the_commands_words(task, tmp_path):
    task.start(tmp_path, "nonsense")
    with pytest.raises(TaskError, match=r"^No model 'nonsense'"):
        task.wait()
    assert task.poll().state == "failed"
    assert task.error is not None


def test_a_folder_without_volumes_says_so(task, tiny_model, tmp_path):
    (tmp_path / "empty").mkdir()
    task.start(tmp_path / "empty", str(tiny_model))
    (result,) = task.wait()
    assert result.error == "no volume in this folder."


def test_a_python_that_cannot_be_started_is_an_error(tmp_path):
    task = FolderTask(python=str(tmp_path / "no-python"))
    task.start(tmp_path, "mr-field-of-view")
    with pytest.raises(TaskError, match="could not be started"):
        task.wait()
