"""Progress and cancellation."""

import threading

import pytest
from SlicerHPOLib.job import Cancelled, Job


def test_progress_is_reported_and_kept_between_0_and_1():
    seen = []
    job = Job(lambda fraction, text: seen.append((fraction, text)))
    for fraction in (-0.5, 0.25, 3):
        job.progress(fraction, "reading")
    assert seen == [(0.0, "reading"), (0.25, "reading"), (1.0, "reading")]


def test_a_job_that_reports_to_nobody_can_still_be_cancelled():
    job = Job()
    job.progress(0.5)
    assert not job.cancelled
    job.cancel()
    job.cancel()
    assert job.cancelled
    with pytest.raises(Cancelled, match="cancelled"):
        job.progress(0.6)


def test_a_cancelled_job_reports_nothing_more():
    seen = []
    job = Job(lambda fraction, text: seen.append(fraction))
    job.cancel()
    with pytest.raises(Cancelled):
        job.progress(0.1)
    assert seen == []


def test_a_job_can_be_cancelled_from_another_thread():
    job = Job()
    thread = threading.Thread(target=job.cancel)
    thread.start()
    thread.join()
    with pytest.raises(Cancelled):
        job.progress(0.0)


def test_the_progress_of_a_part_of_a_part_is_its_share_of_the_whole():
    seen = []
    job = Job(lambda fraction, text: seen.append((fraction, text)))
    job.part(0.5, 1.0).part(0.0, 0.5).progress(0.5, "half of the third quarter")
    assert seen == [(0.625, "half of the third quarter")]


@pytest.mark.parametrize("outer_first", [True, False])
def test_a_job_and_its_parts_are_cancelled_together(outer_first):
    job = Job()
    part = job.part(0.0, 0.5)
    (job if outer_first else part).cancel()
    assert job.cancelled
    with pytest.raises(Cancelled):
        (part if outer_first else job).progress(0.1)
