"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name beside `path`, of the same ending; the file written there takes the place of `path` at the end.

    Whoever reads `path`, at any time and after a kill, sees the old content or the new. If the block raises, the old
    one stays and nothing is left behind. Where `path` is a link, what it leads to is replaced.
    """
    path = Path(path).resolve()
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
