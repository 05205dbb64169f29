"""Files of correction points: what Slicer saves means what the user meant, or is refused by name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SlicerHPOLib.kidney.pointfile import PointFileError, read_points, write_points
from SlicerHPOLib.kidney.points import Point, Points

HEADER = "# Markups fiducial file version = 5.6\n# CoordinateSystem = LPS\n"
COLUMNS = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"


def control(label="F-1", position=(1, 2, 3), **more):
    """As Slicer 5 saves it."""
    return {
        "id": "1",
        "label": label,
        "description": "",
        "associatedNodeID": "vtkMRMLScalarVolumeNode1",
        "position": position,
        "orientation": [-1.0, -0.0, -0.0, -0.0, -1.0, -0.0, 0.0, 0.0, 1.0],
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    } | more


def markups(*controls, **more):
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": list(controls)}
    return {"@schema": f"{schema}markups-schema-v1.0.3.json#", "markups": [markup | more]}


@pytest.fixture
def saved(tmp_path):
    """Writes a file, JSON if it is no text, and gives its path."""

    def save(content, name="points.mrk.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return save


# Ours


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.tuples(*[st.floats(-1e6, 1e6)] * 3), st.booleans()), max_size=6))
def test_what_is_written_is_read_to_the_last_bit(tmp_path_factory, entries):
    points = Points(tuple(Point(ras, inside) for ras, inside in entries))
    path = write_points(points, tmp_path_factory.mktemp("points") / "points.json")
    assert read_points(path) == points


def test_our_file_is_plain_json_with_a_version(tmp_path):
    path = write_points(Points().add_inside((1, -2.5, 3)).add_outside((4, 5, 6)), tmp_path / "points.json")
    assert json.loads(path.read_text()) == {
        "format": "SlicerHPO correction points",
        "format_version": 1,
        "points": [{"ras_mm": [1.0, -2.5, 3.0], "inside": True}, {"ras_mm": [4.0, 5.0, 6.0], "inside": False}],
    }
    assert [file.name for file in tmp_path.iterdir()] == ["points.json"]


@pytest.mark.parametrize("name", ["points.txt", "points", "points.mrk.json", "nowhere/points.json"])
def test_points_are_written_as_json_to_a_folder_that_exists(tmp_path, name):
    with pytest.raises(PointFileError, match="points"):
        write_points(Points(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_several_files_are_joined_in_their_order(tmp_path, saved):
    ours = write_points(Points().add_inside((9, 9, 9)), tmp_path / "a.json")
    outside = saved(markups(control(position=(1, 2, 3))), "outside.mrk.json")
    assert read_points([outside, str(ours)]) == Points().add_outside((-1, -2, 3)).add_inside((9, 9, 9))
    assert read_points([]) == Points()


# Slicer's markups


@pytest.mark.parametrize(
    ("system", "ras"),
    [({}, (-1, -2, 3)), ({"coordinateSystem": "LPS"}, (-1, -2, 3)), ({"coordinateSystem": "RAS"}, (1, 2, 3))],
)
def test_positions_are_taken_from_the_coordinate_system_of_their_list(saved, system, ras):
    content = markups(control("inside"))
    del content["markups"][0]["coordinateSystem"]  # LPS by the schema
    content["markups"][0] |= system
    assert read_points(saved(content)) == Points().add_inside(ras)


def test_the_side_is_said_by_the_label_else_by_the_list_else_by_the_file(saved):
    by_label = markups(
        control("Inside-1", (0, 0, 1)),
        control("kidney_outside2", (0, 0, 2)),
        control("F-3", (0, 0, 3), description="just outside the capsule"),
        control("F-4", (0, 0, 4)),
        name="Inside",
    )
    points = read_points(saved(by_label, "outside.mrk.json"))
    assert [(point.ras_mm[2], point.inside) for point in points] == [(1, True), (2, False), (3, False), (4, True)]
    assert not read_points(saved(markups(control()), "P1_outside.mrk.json")).inside.any()
    assert read_points(saved(markups(control()), "inside.mrk.json")).inside.all()
    assert read_points(saved(markups(control()), "INSIDE.json")).inside.all()


def test_only_points_whose_position_is_defined_count(saved):
    content = markups(
        control("inside-1", (0, 0, 1)),
        control("F", (0, 0, 2), positionStatus="undefined"),
        control("F", "", positionStatus="preview"),
        control("inside-2", (0, 0, 4)),
    )
    del content["markups"][0]["controlPoints"][3]["positionStatus"]  # defined, as for Slicer
    assert [point.ras_mm[2] for point in read_points(saved(content))] == [1, 4]


def test_all_lists_of_a_file_are_read(saved):
    content = markups(control(), name="inside")
    content["markups"] += markups(control(), name="outside", coordinateUnits=["mm", "UCUM", "millimeter"])["markups"]
    assert read_points(saved(content)).inside.tolist() == [True, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (markups(control("F-1")), r"point 1 \('F-1'\) does not say clearly"),
        (markups(control("inside"), control("inside or outside?")), r"point 2 .*does not say clearly"),
        (markups(control("outside", description="inside"), name="inside"), "does not say clearly"),
        (markups(control("not inside")), "does not say clearly"),
        (markups(control("insider")), "does not say clearly"),
        (markups(control("inside", (1, 2))), r"point 1 \('inside'\) is at \[1, 2\]; expected are three numbers"),
        (markups(control("inside", ("1", "2", "3"))), "expected are three numbers"),
        (markups(control("inside", (True, 2, 3))), "expected are three numbers"),
        (markups(control("inside", position=None)), "expected are three numbers"),
        (markups(control("inside", (1e999, 2, 3))), "finite"),
        (markups(control("inside"), coordinateSystem="IJK"), "coordinate system is 'IJK'; expected is RAS or LPS"),
        (markups(control("inside"), coordinateSystem=["LPS"]), "coordinate system is"),
        (markups(control("inside"), coordinateUnits="um"), "'um'; expected are mm"),
        (markups(control("inside"), type="Curve"), "type 'Curve'; expected is a point list"),
        (markups(control("inside"), controlPoints={"a": 1}), "'controlPoints' is no list"),
        (markups(), "no point whose position is defined"),
        (markups(control("inside", positionStatus="undefined")), "no point whose position is defined"),
        ({"markups": 3}, "'markups' is no list"),
        ({"markups": [3]}, "'markups' is no list"),
    ],
)
def test_markups_that_are_not_clear_are_refused(saved, content, message):
    path = saved(content)
    with pytest.raises(PointFileError, match=message) as error:
        read_points(path)
    assert str(error.value).startswith(str(path))


# .fcsv


@pytest.mark.parametrize(
    ("system", "ras"), [("LPS", (-1.5, -2, 3)), ("1", (-1.5, -2, 3)), ("RAS", (1.5, 2, 3)), ("0", (1.5, 2, 3))]
)
@pytest.mark.parametrize("version", ["4.6", "4.11", "5.6"])
def test_fcsv_of_slicer_4_and_5_is_read(saved, system, ras, version):
    text = f"# Markups fiducial file version = {version}\n# CoordinateSystem = {system}\n{COLUMNS}"
    text += 'vtkMRMLMarkupsFiducialNode_0,1.5,2,3,0,0,0,1,1,1,0,inside-1,"a, b",vtkMRMLScalarVolumeNode1\n'
    text += "2,-4,5,6e0,0,0,0,1,1,1,0,F-2,outside,,2,0\n\n"
    text += "3,7,8,9,0,0,0,1,1,1,0,F-3,,,0,0\n"  # its position is not defined
    points = read_points(saved(text, "kidney.fcsv"))
    assert points.inside.tolist() == [True, False]
    assert points.points[0].ras_mm == ras


def test_the_side_of_fcsv_points_may_be_in_the_name_of_the_file(saved):
    text = (HEADER + COLUMNS + "1,1,2,3,0,0,0,1,1,1,0,F-1,,\n").replace("\n", ",,,\r\n")  # through a spreadsheet
    assert read_points(saved(text, "Outside_2.FCSV")) == Points().add_outside((-1, -2, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + COLUMNS + "1,1,2,3,0,0,0,1,1,1,0,F-1,,\n", r"point 1 \('F-1'\) does not say clearly"),
        (HEADER + COLUMNS + "1,a,2,3,0,0,0,1,1,1,0,inside,,\n", r"point 1 \('inside'\) is at 'a, 2, 3'"),
        (HEADER + COLUMNS + "1,nan,2,3,0,0,0,1,1,1,0,inside,,\n", "finite"),
        (HEADER + COLUMNS + "1,1,2\n", "point 1"),
        (HEADER + COLUMNS, "no point"),
        (HEADER + COLUMNS.replace("id,x,y,z", "id,label,x,y,z"), "has the columns id,label,x"),
        (HEADER.replace("LPS", "IJK") + COLUMNS, "coordinate system is 'IJK'"),
        (HEADER.replace("LPS", "2") + COLUMNS, "coordinate system is '2'"),
        (HEADER.splitlines()[0] + "\n" + COLUMNS, 'does not say "# CoordinateSystem'),
        ("1,1,2,3,0,0,0,1,1,1,0,inside,,\n", "does not begin with"),
        ("", "does not begin with"),
    ],
)
def test_fcsv_that_is_not_clear_is_refused(saved, text, message):
    with pytest.raises(PointFileError, match=message):
        read_points(saved(text, "points.fcsv"))


# Anything else


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("x", "scan.nrrd", "is not a points file"),
        ("{", "points.json", "not valid JSON"),
        ("[" * 100_000, "points.json", "not valid JSON"),
        ([], "points.json", "holds no correction points"),
        ({"format": "SlicerHPO field of view"}, "points.json", "holds no correction points"),
        ({"format": "SlicerHPO correction points", "format_version": 9, "points": []}, "p.json", "format version 9"),
    ],
)
def test_other_files_are_refused_by_name(saved, content, name, message):
    with pytest.raises(PointFileError, match=message) as error:
        read_points(saved(content, name))
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ras_mm": [1, 2, 3]}, "point 2 is {'ras_mm'"),
        ({"ras_mm": [1, 2, 3], "inside": 1}, "point 2 is"),
        ("here", "point 2 is 'here'"),
        ({"ras_mm": [1, 2], "inside": True}, r"point 2 is at \[1, 2\]"),
        ({"ras_mm": [1, 2, 10**400], "inside": True}, "point 2"),
        ({"inside": True}, "point 2 is at None"),
    ],
)
def test_a_point_of_ours_that_is_damaged_is_named(saved, entry, message):
    good = {"ras_mm": [0, 0, 0], "inside": False}
    content = {"format": "SlicerHPO correction points", "format_version": 1, "points": [good, entry]}
    with pytest.raises(PointFileError, match=message):
        read_points(saved(content, "points.json"))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x81")
    (tmp_path / "huge.json").write_bytes(b" " * ((1 << 24) + 1))
    for name, message in (
        ("missing.json", "No such file"),
        ("folder.json", "cannot be read"),
        ("binary.json", "not a text file"),
        ("huge.json", "over 16 MB"),
    ):
        with pytest.raises(PointFileError, match=message):
            read_points(tmp_path / name)
