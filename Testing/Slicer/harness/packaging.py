"""`slicer.packaging`: nothing is ever installed; what would have been is recorded in `requested`."""

from __future__ import annotations

import importlib.util

requested: list[str] = []


def pip_ensure(requirements, *, prompt_install=True, requester=None, skip_packages=None, show_progress=True):
    """Records the requirements that are not met; raises RuntimeError for them, as if the user had said no."""
    missing = [
        name for name in requirements if importlib.util.find_spec(str(name).split(">=")[0].split("==")[0]) is None
    ]
    requested.extend(str(name) for name in missing)
    if missing:
        raise RuntimeError(f"Not installed: {', '.join(map(str, missing))}.")


def members() -> dict[str, object]:
    """What the module holds."""
    return {"pip_ensure": pip_ensure}
