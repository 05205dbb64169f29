"""The Python packages that a computation needs, installed into Slicer when they are needed and the user agrees.

PyTorch comes through Slicer's PyTorch extension, which knows which build suits the computer; the others through pip.
Nothing is imported here: what a computation imports, it imports in its own process.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from importlib import metadata
from types import ModuleType

import slicer
from slicer.i18n import tr as _

TORCH = "torch>=2.4"
OTHERS = ("numpy>=1.26", "scipy>=1.11", "SimpleITK>=2.3", "safetensors>=0.4")


class PackagesError(RuntimeError):
    """A package is missing and was not installed; the message says which, and what to do."""


def missing_packages() -> list[str]:
    """Those of `TORCH` and `OTHERS` that are not installed, or too old; nothing is imported or asked."""
    return [requirement for requirement in (TORCH, *OTHERS) if not _is_met(requirement)]


def ensure_packages(requester: str, interactive: bool = True) -> None:
    """Installs what is missing, after asking the user.

    Args:
        requester: the module's title, shown in the question.
        interactive: if false, nobody is asked and nothing installed; what is missing is an error.

    Raises `PackagesError` if something is still missing at the end.
    """
    missing = missing_packages()
    if not missing:
        return
    if not interactive:
        raise PackagesError(
            _("{requester} needs {packages}, not installed in this Slicer. Press Apply in its panel once.").format(
                requester=requester, packages=", ".join(missing)
            )
        )
    if TORCH in missing:
        _install_torch(requester)
    others = [requirement for requirement in missing if requirement != TORCH]
    if others:
        _install(others, requester)
    importlib.invalidate_caches()
    missing = missing_packages()
    if missing:
        raise PackagesError(
            _("{packages} could not be installed. See the log for the reason, and restart Slicer.").format(
                packages=", ".join(missing)
            )
        )


def _install_torch(requester: str) -> None:
    try:
        logic = _pytorch_extension().PyTorchUtilsLogic()
    except ModuleNotFoundError:
        raise PackagesError(
            _(
                "{requester} needs Slicer's PyTorch extension. Open the Extensions Manager, install 'PyTorch' and "
                "restart Slicer."
            ).format(requester=requester)
        ) from None
    try:
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH.removeprefix("torch"))
    except (subprocess.CalledProcessError, OSError) as error:
        raise PackagesError(
            _("PyTorch could not be installed: {error}. Check the network connection and try again.").format(
                error=error
            )
        ) from error
    if torch is None:
        raise PackagesError(_("PyTorch was not installed, because you declined. Press Apply again to be asked again."))


def _pytorch_extension() -> ModuleType:
    return importlib.import_module("PyTorchUtils")


def _install(requirements: list[str], requester: str) -> None:
    try:
        packaging = importlib.import_module("slicer.packaging")  # Slicer 5.11 and later
        ensure = packaging.pip_ensure
    except (ModuleNotFoundError, AttributeError):
        ensure = _ask_and_install
    try:
        ensure(requirements, requester=requester)
    except subprocess.CalledProcessError as error:
        raise PackagesError(
            _("{packages} could not be installed: {error}. Check the network connection and try again.").format(
                packages=", ".join(requirements), error=error
            )
        ) from error
    except RuntimeError:  # what pip_ensure raises when the user declines
        raise PackagesError(
            _("{packages} was not installed, because you declined. Press Apply again to be asked again.").format(
                packages=", ".join(requirements)
            )
        ) from None


def _ask_and_install(requirements: list[str], requester: str) -> None:
    question = _("{requester} needs these Python packages:\n\n{packages}\n\nInstall them now?").format(
        requester=requester, packages="\n".join(requirements)
    )
    if not slicer.util.confirmOkCancelDisplay(question):
        raise RuntimeError
    slicer.util.pip_install(requirements)


def _is_met(requirement: str) -> bool:
    name, minimum = requirement.split(">=")
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return _numbers(installed) >= _numbers(minimum)


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cpu"."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
