"""`slicer.packaging`: nothing is ever installed by a test; one that is about it replaces `pip_ensure`."""

from __future__ import annotations


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Refuses."""
    raise AssertionError(f"{requester} would install {requirements}.")


def members() -> dict[str, object]:
    """What the module holds."""
    return {"pip_ensure": pip_ensure}
