"""Fixtures of the tests that run Slicer's modules without a Slicer; see README.md beside this file."""

import functools
import importlib.util
import os
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
    import slicer
    from harness.dialogs import dialogs as shown

    errors = []
    before = sys.excepthook

    def hook(kind, error, trace):
        errors.append((error, "".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = hook  # Qt and VTK hand it what a callback raises
    shown.reset()
    _clear(core)
    try:
        yield core.scene
    finally:
        for name in [name for name in vars(slicer.modules) if name.endswith("Widget")]:
            _close(getattr(slicer.modules, name))
            delattr(slicer.modules, name)
        _clear(core)
        slicer.app.processEvents()
        sys.excepthook = before
        slicer.util.moduleSelector().selectedModule = "Welcome"
    texts = "\n".join(shown.texts())
    unseen = [text for error, text in errors if not str(error) or str(error) not in texts]
    shown.reset()
    assert not unseen, "An exception was raised in a callback and not shown to the user:\n" + "\n".join(unseen)


def _clear(core):
    for name in ("vtkMRMLScriptedModuleNode", "vtkMRMLLayoutNode"):
        nodes = core.scene.GetNodesByClass(name)
        for index in range(nodes.GetNumberOfItems()):
            node = nodes.GetItemAsObject(index)
            if node.GetAttribute("ModuleName"):
                core.scene.RemoveNode(node)
    core.scene.Clear(0)


def _close(panel):
    from PySide6 import QtCore

    panel.cleanup()
    panel.parent.hide()
    panel.parent.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)


@pytest.fixture
def dialogs(scene):
    """The messages shown so far; `dialogs.answer = False` says Cancel or No to the next."""
    from harness.dialogs import dialogs

    return dialogs


@pytest.fixture
def load_module(scene):
    """load_module(name or path of a .py file) -> the Python module, imported anew, its module object made."""
    return _load_module


def _load_module(name):
    import slicer

    path = Path(name)
    if path.suffix != ".py":
        path = ROOT / "SlicerHPO" / name / f"{name}.py"
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    parent = slicer.qSlicerScriptedLoadableModule(path.stem, path)
    setattr(slicer.modules, path.stem.lower(), parent)
    setattr(slicer.modules, f"{path.stem}Instance", getattr(module, path.stem)(parent))
    slicer.app.startupCompleted.emit()
    return module


@pytest.fixture
def open_panel(scene):
    """open_panel(module) -> the module's widget, set up, entered and shown."""

    def open_(module):
        import slicer

        parent = getattr(slicer.modules, module.__name__.lower())
        representation = parent.widgetRepresentation()
        representation.resize(420, 700)
        representation.show()
        slicer.util.selectModule(module.__name__)
        slicer.app.processEvents()
        return representation.self()

    return open_


@pytest.fixture
def process_events(scene):
    """process_events(seconds=0): lets Qt work."""
    return _process_events


def _process_events(seconds=0.0):
    import slicer

    end = time.monotonic() + seconds
    slicer.app.processEvents()
    while time.monotonic() < end:
        time.sleep(0.005)
        slicer.app.processEvents()


@pytest.fixture
def wait_until(scene):
    """wait_until(condition, timeout=10): lets Qt work until the condition holds, or fails."""

    def wait(condition, timeout=10.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"Not within {timeout} s."
            _process_events(0.01)

    return wait


@pytest.fixture
def screenshot(scene):
    """screenshot(widget, path): a PNG of a panel (or of anything with a `parent`, such as a module's widget)."""

    def grab(widget, path):
        target = widget if hasattr(widget, "grab") else widget.parent
        _process_events(0.05)
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


@functools.cache
def _view(core):
    """One for all tests: a render window takes a while."""
    from harness.views import OffscreenSliceView

    return OffscreenSliceView(core)
