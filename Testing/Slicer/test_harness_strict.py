"""What Slicer does not have is an error of the stand-in, never a silent success."""

from typing import Annotated

import pytest
from tiny_module import UI


def test_a_property_is_a_value_and_its_getter_cannot_be_called(scene):
    import qt

    button = qt.QPushButton("Apply")
    assert (button.text, button.enabled, button.checkable) == ("Apply", True, False)
    with pytest.raises(TypeError, match="not callable"):
        button.text()
    button.setText("Cancel")
    button.enabled = False
    assert (button.text, button.isEnabled()) == ("Cancel", False)


@pytest.mark.parametrize("name", ["enabledd", "tooltip", "clicked_"])
def test_an_attribute_that_the_class_does_not_have_cannot_be_set(scene, name):
    import qt

    with pytest.raises(AttributeError, match=f"QPushButton has no property '{name}'"):
        setattr(qt.QPushButton(), name, True)
    table = qt.QTableWidget(1, 1)
    with pytest.raises(AttributeError, match="QHeaderView"):
        setattr(table.horizontalHeader(), name, True)
    with pytest.raises(AttributeError, match="QTableWidgetItem"):
        setattr(qt.QTableWidgetItem("x"), name, True)


def test_a_method_cannot_be_set_as_if_it_were_a_property(scene):
    import qt

    with pytest.raises(AttributeError, match="is called, not set"):
        qt.QPushButton().setText = "Apply"


def test_an_unknown_class_is_an_error_that_names_it(scene):
    import ctk
    import qt
    import slicer

    with pytest.raises(AttributeError, match="ctkFancyButton"):
        ctk.ctkFancyButton()
    with pytest.raises(AttributeError, match="QOpenGLWidget"):
        qt.QOpenGLWidget()
    with pytest.raises(AttributeError, match="qMRMLThreeDView"):
        slicer.qMRMLThreeDView()
    with pytest.raises(AttributeError, match="has no 'dicom'"):
        slicer.modules.dicom.logic()


def test_setters_that_are_no_slots_in_cpp_do_not_exist(scene):
    import slicer

    with pytest.raises(AttributeError, match="setNodeTypes"):
        slicer.qMRMLNodeComboBox().setNodeTypes(["vtkMRMLScalarVolumeNode"])


def test_a_signal_is_connected_by_its_signature_only(scene):
    import qt
    import slicer

    heard = []
    button = qt.QPushButton("Apply")
    button.connect("clicked(bool)", lambda: heard.append("no argument"))
    button.connect("clicked()", lambda *arguments: heard.append(arguments))
    button.clicked.connect(lambda checked: heard.append(checked))
    button.click()
    assert heard == ["no argument", (), False]
    with pytest.raises(AttributeError, match=r"no signal 'clicked\(int\)'; it has clicked\(\), clicked\(bool\)"):
        button.connect("clicked(int)", print)
    with pytest.raises(AttributeError, match="no signal 'currentNodeChanged"):
        slicer.qMRMLNodeComboBox().connect("currentNodeChanged(vtkMRMLVolumeNode*)", print)


def test_a_disconnected_slot_is_not_called(scene):
    import qt

    heard = []
    button = qt.QPushButton("Apply")
    slot = heard.append
    button.connect("clicked(bool)", slot)
    assert button.disconnect("clicked(bool)", slot)
    button.click()
    assert heard == []


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("ctkSliderWidget", "ctkSlidingWidget", "'ctkSlidingWidget', which the stand-in does not have"),
        ('name="enabled"', 'name="enabledd"', "'applyButton', a QPushButton, has no property 'enabledd'"),
        ("<slot>setMRMLScene", "<slot>setScene", "no slot 'setScene"),
        ("<signal>mrmlSceneChanged", "<signal>sceneChanged", "no signal 'sceneChanged"),
        ("<receiver>inputSelector", "<receiver>selector", "names 'selector', which is not in the file"),
        ('name="thresholdSlider"', 'name="inputSelector"', "two widgets are called 'inputSelector'"),
        ("<class>ctkSliderWidget</class>", "<class>ctkOther</class>", "ctkSliderWidget not among its customwidgets"),
    ],
)
def test_a_mistake_in_a_ui_file_is_an_error_that_names_it(scene, tmp_path, was, becomes, message):
    import slicer

    assert was in UI
    (tmp_path / "Tiny.ui").write_text(UI.replace(was, becomes))
    with pytest.raises((RuntimeError, AttributeError), match="(?i)" + message):
        slicer.util.loadUI(str(tmp_path / "Tiny.ui"))


@pytest.mark.parametrize("kind", [set, dict[str, int], complex, Annotated[float, "seconds"]], ids=str)
def test_a_type_that_cannot_be_stored_is_refused_when_the_class_is_made(scene, kind):
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(TypeError, match="value"):
        parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"value": kind}}))


def test_a_widget_that_cannot_show_a_type_is_refused(scene):
    import ctk
    import qt
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        share: float
        name: str

    parameters = Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    with pytest.raises(RuntimeError, match="share: a slider needs a range"):
        parameters.connectParametersToGui({"share": ctk.ctkSliderWidget()})
    with pytest.raises(RuntimeError, match="a QSpinBox cannot show a str"):
        parameters.connectParametersToGui({"name": qt.QSpinBox()})
    with pytest.raises(ValueError, match="no parameter 'nam'; it has share, name"):
        parameters.connectParametersToGui({"nam": qt.QLineEdit()})
