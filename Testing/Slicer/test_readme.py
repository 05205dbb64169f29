"""The recipe that README gives for Slicer's console does what it says."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
