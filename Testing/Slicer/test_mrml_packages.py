"""Packages are installed when they are needed and the user agrees, and by nobody else."""

import importlib.metadata
import subprocess
import sys
import types

import pytest


@pytest.fixture
def packages(scene):
    """The module under test."""
    from SlicerHPOLib.mrml import packages

    return packages


@pytest.fixture
def installed(monkeypatch):
    """The versions that seem to be installed, which the test may change."""
    versions = {
        "torch": "2.13.0+cpu",
        "numpy": "2.4.6",
        "scipy": "1.17.1",
        "SimpleITK": "2.5.7",
        "safetensors": "0.8.0",
    }

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return versions


@pytest.fixture
def pytorch_extension(monkeypatch, installed):
    """The PyTorch extension: notes what it is asked, and answers as `answer` says."""

    class PyTorchUtilsLogic:
        asked = []  # noqa: RUF012
        answer = "installs"

        def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
            self.asked.append((askConfirmation, torchVersionRequirement))
            if self.answer == "fails":
                raise subprocess.CalledProcessError(1, "pip")
            if self.answer == "declined":
                return None
            installed["torch"] = "2.13.0"
            return types.ModuleType("torch")

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return PyTorchUtilsLogic


@pytest.fixture
def pip(monkeypatch, installed):
    """What `slicer.packaging.pip_ensure` was asked for; `pip.error` is raised instead."""
    import slicer.packaging

    asked = types.SimpleNamespace(requirements=[], requester=None, error=None)

    def pip_ensure(requirements, requester=None):
        asked.requirements, asked.requester = list(requirements), requester
        if asked.error:
            raise asked.error
        installed.update((entry.split(">=")[0], "9") for entry in requirements)

    monkeypatch.setattr(slicer.packaging, "pip_ensure", pip_ensure)
    return asked


def test_nothing_is_asked_when_everything_is_there(packages, installed, pip, pytorch_extension, dialogs):
    packages.ensure_packages("Kidney Ultrasound")
    assert (pip.requirements, pytorch_extension.asked, list(dialogs)) == ([], [], [])


def test_torch_comes_through_the_pytorch_extension_and_the_user_is_asked(packages, installed, pip, pytorch_extension):
    del installed["torch"]
    packages.ensure_packages("Kidney Ultrasound")
    assert pytorch_extension.asked == [(True, ">=2.4")]
    assert pip.requirements == []


def test_an_old_package_counts_as_missing(packages, installed, pip):
    installed["safetensors"] = "0.3.9"
    assert packages.missing_packages() == ["safetensors>=0.4"]
    packages.ensure_packages("Kidney Ultrasound")
    assert (pip.requirements, pip.requester) == (["safetensors>=0.4"], "Kidney Ultrasound")


def test_a_script_is_told_what_is_missing_and_nothing_is_installed(
    packages, installed, pip, pytorch_extension, dialogs
):
    del installed["torch"], installed["safetensors"]
    with pytest.raises(packages.PackagesError, match=r"needs torch>=2[.]4, safetensors>=0[.]4"):
        packages.ensure_packages("Kidney Ultrasound", interactive=False)
    assert (pip.requirements, pytorch_extension.asked, list(dialogs)) == ([], [], [])


def test_without_the_pytorch_extension_the_user_is_told_to_install_it(packages, installed, monkeypatch):
    del installed["torch"]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(packages.PackagesError, match="Open the Extensions Manager, install 'PyTorch'"):
        packages.ensure_packages("Kidney Ultrasound")


@pytest.mark.parametrize(("answer", "message"), [("declined", "you declined"), ("fails", "Check the network")])
def test_torch_that_was_not_installed_is_an_error(packages, installed, pytorch_extension, answer, message):
    del installed["torch"]
    pytorch_extension.answer = answer
    with pytest.raises(packages.PackagesError, match=message):
        packages.ensure_packages("Kidney Ultrasound")


@pytest.mark.parametrize(
    ("error", "message"),
    [(RuntimeError("no"), "you declined"), (subprocess.CalledProcessError(1, "pip"), "Check the network")],
    ids=["declined", "failed"],
)
def test_a_package_that_was_not_installed_is_an_error(packages, installed, pip, error, message):
    del installed["safetensors"]
    pip.error = error
    with pytest.raises(packages.PackagesError, match=message):
        packages.ensure_packages("Kidney Ultrasound")


@pytest.mark.parametrize("agrees", [True, False])
def test_an_older_slicer_asks_before_pip_runs(packages, installed, monkeypatch, dialogs, agrees):
    import slicer

    del installed["safetensors"]
    monkeypatch.setitem(sys.modules, "slicer.packaging", types.ModuleType("slicer.packaging"))  # without pip_ensure
    monkeypatch.setattr(slicer.util, "pip_install", lambda names: installed.update(safetensors="0.8.0"))
    dialogs.answer = agrees
    if agrees:
        packages.ensure_packages("Kidney Ultrasound")
    else:
        with pytest.raises(packages.PackagesError, match="you declined"):
            packages.ensure_packages("Kidney Ultrasound")
    assert "safetensors>=0.4" in dialogs.texts("question")[0]
    assert ("safetensors" in installed) == agrees
