"""Fixtures of the tests of Kidney Ultrasound's panel."""

import pytest
from kidney_panel import choose, run, volume_node
from kidneys import TaskAtHand


@pytest.fixture
def panel(load_module, open_panel, monkeypatch):
    """The open panel, with an answer at hand instead of another process."""
    from SlicerHPOLib.mrml import kidneyrun

    module = load_module("KidneyUltrasound")
    TaskAtHand.reset()
    monkeypatch.setattr(kidneyrun, "BackgroundTask", TaskAtHand)
    monkeypatch.setattr(module.KidneyUltrasoundWidget, "DOUBLE_CLICK_MS", 30)
    monkeypatch.setattr(module.KidneyUltrasoundWidget, "POLL_MS", 10)
    return open_panel(module)


@pytest.fixture
def segmented(panel, wait_until):
    """The panel after a run on `volume_node`."""
    choose(panel, volume_node())
    run(panel, wait_until)
    return panel
