"""One volume after the other, whatever happens to one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from ..job import Cancelled, Job
from ..resultfile import VolumeResult
from ..words import _
from .volumes import Volume, without_name

R = TypeVar("R", bound=VolumeResult)
M = TypeVar("M")


def run_volumes(
    volumes: Sequence[Volume[R]],
    *,
    earlier: Callable[[R], R | None],
    load: Callable[[], M],
    answer: Callable[[M, Volume[R], Job], R],
    keep: Callable[[R], None],
    job: Job | None = None,
    on_result: Callable[[R], None] | None = None,
) -> list[R]:
    """A result for each volume, in order.

    Args:
        earlier: the result of an earlier run that still holds, for a blank one.
        load: gives the model; called once, when it is first needed.
        answer: the result of a volume, by the model. What it raises becomes that volume's error.
        keep: writes a new result where it belongs, before the next volume is begun.
        job: progress and cancellation. on_result: called with each result as soon as it is kept.

    Raises:
        Cancelled: by the job.
        Whatever `load`, `keep` and `on_result` raise.
    """
    job = job or Job()
    model = None
    results = []
    for index, volume in enumerate(volumes):
        part = job.part(index / len(volumes), (index + 1) / len(volumes))
        part.progress(0.0, volume.blank.path)
        result = earlier(volume.blank)
        if result is None:
            if model is None and volume.source is not None:
                model = load()
            result = _answered(volume, answer, model, part)
            keep(result)
        results.append(result)
        if on_result:
            on_result(result)
    job.progress(1.0, _("done"))
    return results


def _answered(volume: Volume[R], answer: Callable[[M, Volume[R], Job], R], model: M, job: Job) -> R:
    """The result of one volume: its answer, or the error that stands in its way."""
    blank = volume.blank
    if volume.source is None:
        return blank
    try:
        return answer(model, volume, job)
    except Cancelled:
        raise
    except MemoryError:
        return replace(blank, error=_("There is not enough memory for this volume."))
    except (ValueError, OSError) as error:
        return replace(blank, error=without_name(error, blank.path))
    except Exception as error:  # whatever it is, the other volumes are still to be answered
        unexpected = _("Unexpected {kind}: {error}. Please report it.").format(kind=type(error).__name__, error=error)
        return replace(blank, error=unexpected)
