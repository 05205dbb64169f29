"""The command: quick help, a line for each volume, exit codes, and a sentence, no traceback, for whatever is wrong."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import SlicerHPOLib.__main__ as command
from SlicerHPOLib.bundle import WEIGHTS
from SlicerHPOLib.fieldofview.classifier import Classifier
from SlicerHPOLib.results import read_csv

LIBRARY = Path(command.__file__).parents[1]


def slicerhpo(*arguments, cwd=None) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}
    environment.pop("SLICERHPO_MODELS", None)
    return subprocess.run(
        [sys.executable, "-m", "SlicerHPOLib", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path, volume, monkeypatch):
    """A working folder with two volumes, a text file, a bad volume and a folder without volumes."""
    volume(tmp_path / "a.nii")
    volume(tmp_path / "longer.nii", 1)
    (tmp_path / "notes.txt").write_text("no volume")
    (tmp_path / "bad.nii").write_bytes(b"no volume either")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- Start ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["classify", "--help"], ["segment", "--help"], ["--version"]])
def test_help_answers_in_under_a_second(arguments):
    def once() -> float:
        start = time.perf_counter()
        assert slicerhpo(*arguments).returncode == 0
        return time.perf_counter() - start

    assert min(once() for _ in range(3)) < 1.0


def test_neither_help_nor_the_list_of_models_imports_a_heavy_library(tiny_model):
    code = (
        "import os, sys; import SlicerHPOLib.__main__ as m\n"
        f"os.environ['SLICERHPO_MODELS'] = {str(tiny_model.parent)!r}\n"
        "m.main(['models'])\n"
        "print([n for n in ('torch', 'SimpleITK', 'matplotlib', 'scipy', 'numpy') if n in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(LIBRARY)}
    )
    assert run.stdout.splitlines()[-1] == "[]", run.stderr


def test_the_version_is_that_of_the_package():
    pyproject = (LIBRARY.parent / "pyproject.toml").read_text()
    assert f'version = "{slicerhpo("--version").stdout.split()[1]}"' in pyproject


def test_models_lists_each_with_the_first_lines_of_its_card_or_what_is_wrong(tiny_model, tmp_path, monkeypatch, capsys):
    shutil.copytree(tiny_model, tmp_path / "good")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{")
    monkeypatch.setenv("SLICERHPO_MODELS", str(tmp_path))
    assert command.main(["models"]) == 0
    text = capsys.readouterr().out
    assert "good" in text
    assert "Its weights are random." in text
    assert "cannot be used" in text


# --- Results -------------------------------------------------------------------------------------------------------


def test_every_volume_gives_one_aligned_line(folder, tiny_model, capsys):
    assert command.main(["classify", "a.nii", "longer.nii", "--model", str(tiny_model)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["a.nii", "longer.nii"]
    assert lines[0].index("..") > len("longer.nii  ")
    assert lines[0][: len("longer.nii  ")] == "a.nii       "
    assert all(line.endswith(" %)") for line in lines)
    assert printed.err == ""


def test_a_line_reads_as_documented():
    from SlicerHPOLib.fieldofview.regions import Region
    from SlicerHPOLib.results import Result

    regions = (Region("abdomen", -312.4, -95.0, 0, 20, 0.981), Region("chest", -95.0, 119.8, 21, 40, 0.99))
    result = Result("a", None, None, 0, "", "", "", "", {}, regions=regions)
    assert command.describe(result) == "abdomen -312..-95 mm (98 %) | chest -95..120 mm (99 %)"


def test_a_fixed_boundary_is_where_it_was_put(folder, tiny_model, capsys):
    arguments = ["classify", "a.nii", "--model", str(tiny_model), "--fix-boundary", "chest/abdomen=55"]
    assert command.main(arguments) == 0
    assert "..55 mm" in capsys.readouterr().out


def test_a_negative_position_is_no_option(folder, tiny_model, capsys):
    arguments = ["classify", "a.nii", "--model", str(tiny_model), "--fix-boundary", "abdomen/chest=-120"]
    assert command.main(arguments) == 2
    assert "-120" in capsys.readouterr().err


def test_quiet_prints_errors_only(folder, tiny_model, capsys):
    assert command.main(["classify", "a.nii", "bad.nii", "--model", str(tiny_model), "--quiet"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "bad.nii" in printed.err


def test_some_failures_are_exit_code_1_and_named_at_the_end(folder, tiny_model, capsys):
    assert command.main(["classify", "bad.nii", "a.nii", "none.nii", "--model", str(tiny_model)]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("a.nii")
    assert printed.err.splitlines()[-1] == "slicerhpo: 2 of 3 volumes failed: bad.nii, none.nii"


def test_only_failures_are_exit_code_2(folder, tiny_model):
    assert command.main(["classify", "bad.nii", "none.nii", "--model", str(tiny_model)]) == 2


def test_ctrl_c_says_what_is_kept_and_keeps_it(folder, tiny_model, monkeypatch, capsys):
    classify = Classifier.classify

    def interrupted(self, image, **options):
        if image.name == "longer":
            raise KeyboardInterrupt
        return classify(self, image, **options)

    monkeypatch.setattr(Classifier, "classify", interrupted)
    arguments = ["classify", "a.nii", "longer.nii", "--model", str(tiny_model), "--csv", "r.csv"]
    assert command.main(arguments) == 130
    message = capsys.readouterr().err
    assert "1 of 2 volumes are finished and kept in r.csv" in message
    assert "--skip-done" in message
    assert [result.path for result in read_csv(Path("r.csv"))] == ["a.nii"]


def test_a_reader_that_has_seen_enough_is_no_error(folder, tiny_model):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as output:
        run = subprocess.run(
            [sys.executable, "-m", "SlicerHPOLib", "classify", "a.nii", "--model", str(tiny_model)],
            stdout=output,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(LIBRARY)},
        )
    assert run.returncode == 0
    assert run.stderr == b""


# --- What can be wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.nii"], "none.nii: there is no such file"),
        (["notes.txt"], "notes.txt: not a volume"),
        (["bad.nii"], "bad.nii: "),
        (["empty"], "empty: no volume in this folder"),
        (["a.nii", "--series", "2"], "is for DICOM"),
        (["a.nii", "--frame", "7"], "a.nii: "),
        (["a.nii", "--model", "unknown"], "No model 'unknown'"),
        (["a.nii", "--model", "empty"], "model.json is missing"),
        (["a.nii", "--model", "tampered"], "SHA-256"),
        (["a.nii", "--fix-boundary", "chest/abdomen"], "'chest/abdomen' is not LOWER/UPPER=MM"),
        (["a.nii", "--fix-boundary", "chest/abdomen=high"], "'chest/abdomen=high'"),
        (["a.nii", "--fix-boundary", "chest/abdomen=nan"], "Boundary 'chest/abdomen' at nan"),
        (["a.nii", "--fix-boundary", "chest/toes=3"], "Boundary 'chest/toes': give one of legs/pelvis"),
        (["a.nii", "--fix-boundary", "chest/head=3", "--fix-boundary", "chest/head=4"], "fixed twice"),
        (["a.nii", "--frame", "-1"], "'-1' is not a whole number of at least 0"),
        (["a.nii", "--threads", "0"], "'0' is not a whole number of at least 1"),
        (["a.nii", "--csv", "r.xls"], "r.xls: the name of this output ends in .csv"),
        (["a.nii", "--figure", "f.bmp"], "f.bmp: the name of a figure ends in .png"),
        (["a.nii", "--figure", "a.nii"], "a.nii"),
        (["a.nii", "--skip-done"], "name the CSV or JSON file"),
        ([], "PATH"),
    ],
)
def test_whatever_is_wrong_is_said_in_a_sentence_with_exit_code_2(folder, tiny_model, arguments, words):
    tampered = shutil.copytree(tiny_model, folder / "tampered")
    content = bytearray((tampered / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tampered / WEIGHTS).write_bytes(content)
    model = [] if "--model" in arguments else ["--model", tiny_model]
    run = slicerhpo("classify", *arguments, *model, cwd=folder)
    assert run.returncode == 2, run.stderr
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_a_figure_without_matplotlib_says_what_to_install(folder, tiny_model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert command.main(["classify", "a.nii", "--model", str(tiny_model), "--figure", "f.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
    assert not Path("f.png").exists()


# --- Progress ------------------------------------------------------------------------------------------------------


class Terminal:
    """A standard error that says it is a terminal and remembers what it was sent."""

    def __init__(self):
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_a_terminal_sees_progress_and_the_results_are_not_torn_by_it(folder, tiny_model, monkeypatch, capsys, has_tqdm):
    if has_tqdm and importlib.util.find_spec("tqdm") is None:
        pytest.skip("tqdm is not installed")
    if not has_tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert command.main(["classify", "a.nii", "longer.nii", "--model", str(tiny_model)]) == 0
    assert " % " in terminal.text
    assert len(capsys.readouterr().out.splitlines()) == 2
