"""Files that are there whole or not at all, and where the extension's own are."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _resources() -> Path:
    """`Resources` beside the library, as Slicer installs an extension, else that of the checkout."""
    here = Path(__file__).resolve()
    installed, checkout = here.parents[1] / "Resources", here.parents[2] / "Resources"
    return installed if (installed / "Models").is_dir() else checkout


MODELS = _resources() / "Models"
SAMPLES = _resources() / "SampleData"


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
