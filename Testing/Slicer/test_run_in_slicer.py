"""The modules' own tests, which Slicer offers too, run by the script for Slicer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import run_in_slicer
from run_in_slicer import MODULES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(run_in_slicer.__file__)


@pytest.mark.parametrize("module", MODULES)
def test_the_modules_own_tests_pass_on_the_stand_in(load_module, module, capfd):
    load_module(module)
    assert run_in_slicer.main([module]) == 0, capfd.readouterr().out


@pytest.mark.parametrize("module", MODULES)
def test_the_modules_own_tests_are_skipped_with_the_reason_where_pytorch_is_missing(
    load_module, module, monkeypatch, capfd
):
    from importlib import metadata

    load_module(module)
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name == "torch" else version(name))
    assert run_in_slicer.main([module]) == run_in_slicer.SKIPPED
    assert f"{module}: skipped: needs torch>=" in capfd.readouterr().out


def test_the_modules_own_tests_pass_in_a_real_slicer():
    slicer = os.environ.get("SLICER_EXECUTABLE") or shutil.which("Slicer")
    if not slicer:
        pytest.skip("needs 3D Slicer: set SLICER_EXECUTABLE to its program")
    paths = [str(ROOT / "SlicerHPO" / module) for module in MODULES]
    command = [slicer, "--testing", "--no-splash", "--additional-module-paths", *paths, "--python-script", str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode == run_in_slicer.SKIPPED:
        pytest.skip(next(line for line in done.stdout.splitlines() if ": skipped: " in line))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_for_slicer_says_when_it_is_skipped():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (77, "Skipped: this Python does not run within Slicer.\n")
