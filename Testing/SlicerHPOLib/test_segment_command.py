"""`slicerhpo segment`: a line for each kidney, exit codes, and a sentence, no traceback, for whatever is wrong."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import SlicerHPOLib.__main__ as command
from SlicerHPOLib.batch.folder import LIST
from SlicerHPOLib.kidney.pointfile import write_points
from SlicerHPOLib.kidney.points import Points
from SlicerHPOLib.kidney.results import KidneyResult, read_json, require_table
from SlicerHPOLib.kidney.segmenter import KidneySegmenter

LIBRARY = Path(command.__file__).parents[1]


@pytest.fixture
def folder(tmp_path, kidney, monkeypatch):
    """A working folder with two volumes, a bad volume and a points file."""
    kidney(tmp_path / "a.nii")
    kidney(tmp_path / "longer.nii", 1)
    (tmp_path / "bad.nii").write_bytes(b"no volume")
    write_points(Points().add_outside((-50, -50, 45)), tmp_path / "p.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def segment(folder, tiny_kidney_model):
    """Runs the command in the folder with the tiny model; returns its exit code."""

    def run(*arguments):
        model = () if "--model" in arguments else ("--model", str(tiny_kidney_model))
        return command.main(["segment", *arguments, "--out", "out", *model])

    return run


def test_a_line_reads_as_documented():
    given = {"volume_ml": 131.44, "length_mm": 104.2, "width_mm": 52.06, "thickness_mm": 47.9, "confidence": 0.924}
    result = KidneyResult("a", None, None, 0, "", "", "", "", "deformation", **given)
    assert command.describe_kidney(result) == "131.4 ml | 104.2 x 52.1 x 47.9 mm | confidence 92 %"
    noted = KidneyResult("a", None, None, 0, "", "", "", "", "unet", **given | {"confidence": None}, warnings=("No.",))
    assert command.describe_kidney(noted).endswith("47.9 mm | no confidence | warning: No.")
    for population, words in (("auto", "population: child (found)"), ("child", "population: child")):
        shown = replace(noted, population=population, population_used="child")
        assert command.describe_kidney(shown).endswith(f"47.9 mm | no confidence | {words} | warning: No.")


def test_every_volume_gives_one_aligned_line_with_its_warnings(segment, capsys):
    assert segment("a.nii", "longer.nii") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["a.nii", "longer.nii"]
    assert lines[0].startswith("a.nii       ")
    for line in lines:
        measures, size, confidence, warning = line.split(" | ")[:4]
        assert measures.endswith(" ml")
        assert size.count(" x ") == 2
        assert confidence.startswith("confidence ")
        assert warning.startswith("warning: Low confidence")
    assert printed.err == ""
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.seg.nrrd", "longer.seg.nrrd", LIST]


def test_every_option_reaches_the_segmenter(segment, monkeypatch):
    seen = {}
    run = KidneySegmenter.segment

    def spy(self, image, **options):
        seen.update(options)
        return run(self, image, **options)

    monkeypatch.setattr(KidneySegmenter, "segment", spy)
    options = ["--points", "p.json", "p.json", "--points", "p.json", "--format", "nii.gz", "--threads", "1"]
    assert segment("a.nii", "--method", "classical", "--seed-point", "-3,2.5,4", *options, "--report", "r.csv") == 0
    assert seen["method"] == "classical"
    assert seen["seed_point_mm"] == (-3.0, 2.5, 4.0)
    assert len(seen["points"]) == 3
    assert (Path("out") / "a.nii.gz").exists()
    require_table(Path("r.csv"))


def test_the_population_asked_for_is_answered_and_the_one_that_was_found_is_told(segment, tiny_model_of_two, capsys):
    assert segment("a.nii", "--model", str(tiny_model_of_two)) == 0
    assert " | population: adult (found) | " in capsys.readouterr().out
    assert segment("a.nii", "--model", str(tiny_model_of_two), "--population", "child") == 0
    assert " | population: child | " in capsys.readouterr().out


def test_quiet_prints_errors_only(segment, capsys):
    assert segment("a.nii", "bad.nii", "--quiet") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "bad.nii" in printed.err


def test_a_bad_volume_is_named_at_the_end_with_exit_code_1_and_the_others_are_done(segment, capsys):
    assert segment("bad.nii", "a.nii", "none.nii", "--report", "r.json") == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("a.nii")
    assert printed.err.splitlines()[-1] == "slicerhpo: 2 of 3 volumes failed: bad.nii, none.nii"
    assert [bool(result.error) for result in read_json(Path("r.json"))] == [True, False, True]


def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(segment, monkeypatch, capsys):
    run, names = KidneySegmenter.segment, []

    def interrupted(self, image, **options):
        names.append(image.name)
        if names == ["a", "longer"]:
            raise KeyboardInterrupt
        return run(self, image, **options)

    monkeypatch.setattr(KidneySegmenter, "segment", interrupted)
    assert segment("a.nii", "longer.nii") == 130
    assert "1 of 2 volumes are finished and kept in out. The same command with --skip-done" in capsys.readouterr().err
    assert segment("a.nii", "longer.nii", "--skip-done") == 0
    assert names == ["a", "longer", "longer"]
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.nii"], "none.nii: there is no such file"),
        (["bad.nii"], "bad.nii: "),
        (["a.nii", "--model", "unknown"], "No model 'unknown'"),
        (["a.nii", "--method", "magic"], "Unknown method 'magic'; known are deformation, unet, classical"),
        (["a.nii", "--population", "elderly"], "Unknown population 'elderly'; known are auto, adult, child"),
        (["a.nii", "--population", "child", "--method", "classical"], "classical method knows no populations"),
        (["a.nii", "--method", "classical"], "starts from a seed point"),
        (["a.nii", "--seed-point", "1,2,3"], "for the classical method"),
        (["a.nii", "--method", "classical", "--seed-point", "-900,0,0"], "outside"),
        (["a.nii", "--format", "stl"], "Unknown format 'stl'"),
        (["a.nii", "--report", "r.xls"], "r.xls: the name of this output ends in .json or .csv"),
        (["a.nii", "--points", "none.json"], "none.json"),
        (["a.nii", "longer.nii", "--points", "p.json"], "belong to one volume"),
        (["a.nii", "--figure", "f.bmp"], "f.bmp: the name of a figure ends in .png"),
    ],
)
def test_whatever_is_wrong_is_said_in_a_sentence_with_exit_code_2(segment, capsys, arguments, words):
    assert segment(*arguments) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.nii"], "--out"),
        (["--out", "out"], "PATH"),
        (["a.nii", "--out", "out", "--seed-point", "1,2"], "'1,2' is not R,A,S"),
        (["a.nii", "--out", "out", "--seed-point"], "expected one argument"),
        (["a.nii", "--out", "out", "--threads", "0"], "'0' is not a whole number"),
    ],
)
def test_a_command_that_is_not_understood_is_refused_with_exit_code_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as refused:
        command.main(["segment", *arguments])
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


def test_help_imports_no_heavy_library():
    code = (
        "import sys; import SlicerHPOLib.__main__ as m\n"
        "try: m.main(['segment', '--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('torch', 'SimpleITK', 'matplotlib', 'scipy', 'numpy') if n in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(LIBRARY)}
    )
    assert run.stdout.splitlines()[-1] == "[]", run.stderr
