"""Fixtures of the tests of MR Field of View's panel."""

import pytest
from fieldofview_panel import show
from fieldofview_phantom import QuickTask, a_volume


@pytest.fixture
def quick(scene, load_module, monkeypatch):
    """No network: the answer comes after two looks. Its attributes can be changed for a test."""
    load_module("MRFieldOfView")
    from SlicerHPOLib.mrml import volumestask

    task = type("QuickTask", (QuickTask,), {"running": []})
    monkeypatch.setattr(volumestask, "BackgroundTask", task)
    return task


@pytest.fixture
def panel(quick, open_panel):
    import sys

    return open_panel(sys.modules["MRFieldOfView"])


@pytest.fixture
def volume(panel):
    """A volume, chosen in the panel."""
    node = a_volume()
    panel.ui.inputSelector.setCurrentNode(node)
    return node


@pytest.fixture
def classified(panel, volume):
    """The same with its answer: pelvis up to 0, abdomen up to 100, chest up to 200 mm."""
    show(volume)
    panel.onParameterNodeModified()
    return volume
