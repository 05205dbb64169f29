"""One process at a time: a lock that belongs to a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Wait until no other process, and no other thread, is in such a block for `path`.

    The lock is held on an empty file beside `path`, which stays there: `path` itself may be replaced meanwhile. The
    system frees it when a process dies.
    """
    import fcntl

    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
