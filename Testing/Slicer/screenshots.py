"""Draws the screenshots of both modules with a result of their sample data, without a Slicer and without a screen.

    python Testing/Slicer/screenshots.py [FOLDER]        (default: Resources/Screenshots)

Needs what the tests here need. The panel is the module's own, in the style of the Qt at hand; the views are Slicer's.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {  # module -> its sample
    "MRFieldOfView": "whole-body-t1",
    "KidneyUltrasound": "adult-right",
}
ORIENTATIONS = ("Axial", "Sagittal", "Coronal")
PATIENCE_S = 600.0


def main(folder: Path) -> None:
    """Writes one PNG a module."""
    from harness.install import install
    from harness.views import OffscreenSliceView, OffscreenThreeDView

    core = install()
    views = OffscreenSliceView(core), OffscreenThreeDView(core)
    folder.mkdir(parents=True, exist_ok=True)
    for module, sample in EXAMPLES.items():
        path = folder / f"{module}.png"
        draw(module, sample, views, path)
        print(path)


def draw(module: str, sample: str, views: tuple, path: Path) -> None:
    """Applies a module to a sample, uses it a little, and puts its panel and the views side by side."""
    import SampleData
    import slicer
    from harness import session

    slice_view, three_d_view = views
    session.empty_scene()
    panel = session.open_panel(session.load_module(ROOT / "SlicerHPO" / module / f"{module}.py"))
    volume = SampleData.downloadSample(sample)
    slice_view.show(volume, ORIENTATIONS[0])
    panel.ui.inputSelector.setCurrentNode(volume)
    if module == "KidneyUltrasound":
        panel.ui.sideSelector.setCurrentIndex(panel.ui.sideSelector.findText("Right kidney"))
    panel.ui.applyButton.click()
    wait_until(lambda: slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
    session.process_events(1)

    bounds = [0.0] * 6
    slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0].GetRASBounds(bounds)
    centre = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    if module == "KidneyUltrasound":
        correct(panel, centre)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = [Path(temporary, f"{name}.png") for name in (*ORIENTATIONS, "3D")]
        for orientation, picture in zip(ORIENTATIONS, pictures, strict=False):
            slice_view.show(volume, orientation)
            slice_view.node.JumpSliceByOffsetting(*centre)
            slice_view.screenshot(picture)
        three_d_view.screenshot(pictures[-1])
        beside(panel.parent.grab(), pictures, path)
    slice_view.release()
    session.close_panels()


def correct(panel, centre: list[float]) -> None:
    """Places a point a little outside of the kidney that is to be inside, and one within that is not."""
    import numpy as np
    from harness import session

    result = panel.logic.result(panel._parameterNode.segmentation)
    inside, outside = panel.logic.pointNodes(panel._parameterNode.segmentation)
    for node, towards, beyond_mm in ((inside, (0, 1, 0), 4.0), (outside, (0, -1, 0), -5.0)):
        along = centre + np.arange(0, 60, 0.5)[:, None] * towards
        k, j, i = (
            np.rint(result.image.ijk_of(along)).astype(int).T[::-1].clip(0, np.array(result.mask.shape)[:, None] - 1)
        )
        surface_mm = 0.5 * int(np.argmin(result.mask[k, j, i] > 0))
        node.AddControlPointWorld(*map(float, centre + (surface_mm + beyond_mm) * np.array(towards)))
        session.process_events(1)
    wait_until(lambda: panel.ui.undoButton.enabled)
    session.process_events(2)  # the measures follow


def wait_until(condition) -> None:
    """Lets Qt work until the condition holds."""
    from harness import session

    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "no result"
        session.process_events(0.1)


def beside(panel, pictures: list[Path], path: Path) -> None:
    """The panel at the left, the views in two rows at its right."""
    from PySide6 import QtGui

    views = [QtGui.QImage(str(picture)) for picture in pictures]
    width, height = views[0].width(), views[0].height()
    whole = QtGui.QImage(panel.width() + 2 * width, max(panel.height(), 2 * height), QtGui.QImage.Format.Format_RGB32)
    whole.fill(panel.toImage().pixelColor(2, 2))
    painter = QtGui.QPainter(whole)
    painter.drawPixmap(0, 0, panel)
    for index, view in enumerate(views):
        painter.drawImage(panel.width() + index % 2 * width, index // 2 * height, view)
    painter.end()
    assert whole.save(str(path)), path


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Resources" / "Screenshots")
