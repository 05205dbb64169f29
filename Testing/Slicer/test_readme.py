"""The recipe that README gives for Slicer's console does what it says, and the tables of this folder's README hold."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SAMPLES = ROOT / "Resources" / "SampleData" / "kidney"


def test_the_recipe_for_a_folder_of_volumes_segments_and_exports_each(scene, load_module, tmp_path, capsys):
    (recipe,) = re.findall(r"```python\n(from pathlib.*?)```", (ROOT / "README.md").read_text(), re.S)
    folder, out = tmp_path / "volumes", tmp_path / "out"
    folder.mkdir(), out.mkdir()
    names = ["adult-right", "child-5-years-left"]
    for name in names:
        (folder / f"{name}.nii.gz").symlink_to(SAMPLES / f"{name}.nii.gz")
    load_module("KidneyUltrasound")  # as Slicer does at its start
    exec(compile(recipe, "README.md", "exec"), {"folder": str(folder), "out": str(out)})
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[:3:2] for line in said] == [[f"{name}.nii.gz", "ml"] for name in names]
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.seg.nrrd" for name in names]


def test_every_test_here_is_in_the_readme_and_every_file_named_there_is_here():
    named = re.findall(r"`([\w*/]+\.py)`", (HERE / "README.md").read_text())
    found = {name: set(HERE.glob(name)) for name in named}
    assert all(found.values()), [name for name, files in found.items() if not files]
    assert set(HERE.rglob("test_*.py")) <= set().union(*found.values())


def test_every_fixture_is_in_the_readme_and_every_one_named_there_exists():
    table = (HERE / "README.md").read_text().split("| fixture | |")[1].split("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    named = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    public = re.findall(r"@pytest\.fixture[^\n]*\ndef (\w+)\(", (HERE / "conftest.py").read_text())
    assert named == set(public) - {"core"}
