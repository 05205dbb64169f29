"""Fixtures of the tests that run Slicer's modules without a Slicer; see README.md beside this file."""

import functools
import importlib.util
import os
import re
import sys
import time
import traceback
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.pop("DISPLAY", None)
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("slicer", "slicer_core", "trame_slicer", "PySide6")


def _why_not() -> str:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return f"needs {', '.join(missing)}: pip install '.[slicer]' with Python 3.11"
    try:
        import slicer  # noqa: F401
        from PySide6 import QtWidgets  # noqa: F401
    except ImportError as error:  # a shared library of the system
        return f"{error}: install the libraries that .ci/run names"
    return ""


@pytest.fixture(scope="session")
def core():
    """The core of Slicer with its scene: one a process, for Qt and VTK have one application each."""
    if reason := _why_not():
        pytest.skip(reason)
    from harness.install import install

    return install()


@pytest.fixture
def scene(core):
    """`slicer.mrmlScene`, empty; at the end panels are closed, and an exception that no dialog showed is a failure."""
    from harness import session
    from harness.dialogs import dialogs as shown

    raised = []
    before = sys.excepthook
    sys.excepthook = lambda kind, error, trace: raised.append(error)  # Qt and VTK hand it what a callback raises
    shown.reset()
    session.empty_scene()
    try:
        yield core.scene
    finally:
        session.close_panels()
        session.empty_scene()
        sys.excepthook = before
    texts = "\n".join(shown.texts())
    unseen = [
        "".join(traceback.format_exception(error)) for error in raised if not str(error) or str(error) not in texts
    ]
    assert not unseen, "An exception was raised in a callback and not shown to the user:\n" + "\n".join(unseen)


@pytest.fixture
def dialogs(scene):
    """The messages shown so far; `dialogs.answer = False` says Cancel or No to the next."""
    from harness.dialogs import dialogs

    return dialogs


@pytest.fixture
def shouting(scene, monkeypatch):
    """Another language for what the library says: English in capitals. The function that translates into it."""
    from SlicerHPOLib.mrml import translation

    def shouted(context, text):
        return re.sub(r"[^{}]+(?![^{]*\})", lambda words: words.group().upper(), text)

    monkeypatch.setattr(translation, "translate", shouted)
    return translation.translated


@pytest.fixture
def load_module(scene):
    """load_module(name, or path of a .py file) -> the Python module, imported anew, its module object made."""
    from harness import session

    def load(name):
        path = Path(name)
        return session.load_module(path if path.suffix == ".py" else ROOT / "SlicerHPO" / name / f"{name}.py")

    return load


@pytest.fixture
def open_panel(scene):
    """open_panel(module) -> the module's widget, set up, shown and entered."""
    from harness import session

    return session.open_panel


@pytest.fixture
def process_events(scene):
    """process_events(seconds=0): lets Qt work."""
    from harness import session

    return session.process_events


@pytest.fixture
def wait_until(scene):
    """wait_until(condition, timeout=10): lets Qt work until the condition holds, or fails."""
    from harness.session import process_events

    def wait(condition, timeout=10.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"Not within {timeout} s."
            process_events(0.01)

    return wait


@pytest.fixture
def screenshot(scene):
    """screenshot(widget, path): a PNG of a panel (or of anything with a `parent`, such as a module's widget)."""
    from harness.session import process_events

    def grab(widget, path):
        target = widget if hasattr(widget, "grab") else widget.parent
        process_events(0.05)
        assert target.grab().save(str(path)), path

    return grab


@pytest.fixture
def slice_view(scene, core):
    """slice_view(volume=None, orientation="Axial") -> an offscreen view with click, drag, press and screenshot."""
    view = _view(core)

    def open_(volume=None, orientation="Axial"):
        view.show(volume, orientation)
        return view

    yield open_
    view.release()


@pytest.fixture
def three_d_view(scene, core):
    """three_d_view(path, direction="ANTERIOR"): a PNG of all that is shown in 3D, seen from there."""
    return _three_d_view(core).screenshot


@functools.cache
def _view(core):
    """One for all tests: a render window takes a while."""
    from harness.views import OffscreenSliceView

    return OffscreenSliceView(core)


@functools.cache
def _three_d_view(core):
    from harness.views import OffscreenThreeDView

    return OffscreenThreeDView(core)
