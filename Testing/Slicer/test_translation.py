"""Every string that a user sees can be translated: in Python through `tr`, in .ui files by not being marked notr.

Slicer's translators get the strings from `_("...")` in the sources (tr) and from `<string>` in .ui files. What the part
of the library says that knows no Slicer, in errors about files, images and computations, is English everywhere.
"""

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

SOURCES = Path(__file__).resolve().parents[2] / "SlicerHPO"
MODULES = ("MRFieldOfView", "KidneyUltrasound")
PYTHON = sorted(
    path
    for folder in (*MODULES, "SlicerHPOLib/mrml")
    for path in (SOURCES / folder).rglob("*.py")
    if path.name != "__init__.py"
)
TRANSLATES = {"_", "translate"}
SHOWN_PROPERTIES = {"text", "toolTip", "title", "windowTitle", "suffix", "placeholderText", "format", "helpText"}
NOT_SHOWN = {  # names by which Slicer's own code, files or packages know something
    "Anatomical Structure",
    "Binary labelmap",
    "Closed surface",
    "Lower limb",
    "S (mm)",  # a column that series of a plot refer to
    "Segmentation category and type - DICOM master list",
    "SlicerHPO contributors",
    "body regions",  # nodes, as those of Slicer's modules
    "boundary lines",
    "class probabilities",
    "field of view",
}


def called(node):
    """The name of what a call calls; "" for anything else."""
    return getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""


def shown(tree):
    """Line and text of every string in a module that reads like words and is translated by nobody."""
    excused = set()
    for node in ast.walk(tree):
        if called(node) in TRANSLATES | {"delayDisplay", "skipTest"}:  # the latter of self-tests
            excused.update(map(id, ast.walk(node)))
        if isinstance(node, ast.Dict):  # from what is translated to its translation
            excused.update(id(k) for k, v in zip(node.keys, node.values, strict=True) if called(v) in TRANSLATES)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            excused.add(id(node.value))  # a docstring
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in excused:
            words = re.sub(r"\{\w*\}|\*\.\w+|\([^)]*\)", "", node.value)
            if re.search(r"[A-Za-z]{2,}[.:]? +[A-Za-z]{2,}|[a-z]{2,}[.:!?](?: |$)", words):
                yield node.lineno, node.value


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_every_string_that_reads_like_words_goes_through_tr(path):
    found = [f"{line}: {text}" for line, text in shown(ast.parse(path.read_text())) if text not in NOT_SHOWN]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_what_is_translated_is_a_whole_string_that_translators_can_find(path):
    """lupdate reads the source: `_(f"...")` or `_(text)` reach nobody."""
    for node in ast.walk(ast.parse(path.read_text())):
        if called(node) in TRANSLATES:
            assert all(isinstance(part, ast.Constant) for part in node.args), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("module", MODULES)
def test_no_property_that_is_shown_is_set_to_a_bare_string(module):
    """Single words, too."""
    for path in (SOURCES / module).rglob("*.py"):
        tree = ast.parse(path.read_text())
        translated = {id(part) for node in ast.walk(tree) if called(node) in TRANSLATES for part in ast.walk(node)}
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = {getattr(target, "attr", "") for outer in targets for target in ast.walk(outer)}
            for part in ast.walk(node.value) if names & SHOWN_PROPERTIES else ():
                text = part.value if isinstance(part, ast.Constant) and id(part) not in translated else ""
                assert not re.search("[A-Za-z]{2}", str(text or "")), f"{path.name}:{node.lineno}: {text!r}"


@pytest.mark.parametrize("module", MODULES)
def test_what_a_ui_file_shows_is_not_kept_from_translators(module):
    kept = set()
    root = ElementTree.parse(SOURCES / module / "Resources" / "UI" / f"{module}.ui").getroot()
    for entry in root.iter("property"):
        for string in entry.iter("string"):
            if string.get("notr") == "true":
                kept.add(entry.get("name"))
    assert kept <= {"styleSheet"}


def test_the_rule_finds_what_it_should():
    """A rule that finds nothing would pass, too."""
    source = (
        'label.text = "Press Apply first."\nlabel.text = _("Press Apply first.")\nraise Error(f"{name} has no image")'
    )
    assert [line for line, _text in shown(ast.parse(source))] == [1, 3]


def test_what_long_work_says_it_does_is_translated(scene):
    from SlicerHPOLib.mrml import progress

    said = set()
    for path in [*(SOURCES / "SlicerHPOLib").glob("*.py"), *(SOURCES / "SlicerHPOLib").glob("[fk]*/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if path.name in ("dicom.py", "itk.py", "__main__.py"):  # of the console
                continue
            is_status = called(node) == "Status" and getattr(next(iter(node.args), None), "value", "") == "running"
            if is_status or called(node) == "progress":
                said.update(part.value for part in node.args[1:] if isinstance(getattr(part, "value", None), str))
    assert len(said) > 8
    assert said <= set(progress._TEXTS)


def test_numbers_in_progress_are_kept_and_what_is_not_known_stays(scene, monkeypatch):
    from SlicerHPOLib.mrml import progress

    monkeypatch.setitem(progress._TEXTS, "{} volumes done", "{} Volumen fertig")
    assert progress.translated("12 volumes done") == "12 Volumen fertig"
    assert progress.translated("2 of 3: scan: thinking") == "2 of 3: scan: thinking"
    assert progress.translated("") == ""


def warnings_of_the_library():
    """What it warns of, as it says it."""
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.kidney import corrections, segmentation
    from SlicerHPOLib.kidney.grid import Grid
    from SlicerHPOLib.kidney.points import Points

    phi, seen = np.ones((4, 4, 4), np.float32), np.zeros((4, 4, 4), bool)
    seen[0] = True
    yield segmentation.border_warning(phi, Grid(np.eye(4), phi.shape), Image(phi, np.eye(4)))
    yield segmentation.unseen_warning(phi, seen)
    yield corrections._warning(9.0, Points().add_inside((0, 0, 0)))
    yield corrections._warning(9.0, Points().add_inside((0, 0, 0)).add_inside((1, 0, 0)))
    path = SOURCES / "SlicerHPOLib" / "kidney" / "segmenter.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if called(node) == "append" and node.func.value.id == "notes":
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else node.args
            value = (
                "'adult'"
                if any(isinstance(part, ast.FormattedValue) and part.conversion > 0 for part in parts)
                else "0.25"
            )
            yield "".join(part.value if isinstance(part, ast.Constant) else value for part in parts)
    worker = (SOURCES / "SlicerHPOLib" / "worker.py").read_text()
    yield "The graphics card has not enough free memory" + re.search(r'f"\{why\}(: .*?)"', worker).group(1)


def test_every_warning_of_the_library_is_translated_with_its_numbers(scene, monkeypatch):
    from SlicerHPOLib.mrml import cautions

    said = list(warnings_of_the_library())
    assert len(said) == 8
    for known in cautions._SENTENCES:
        monkeypatch.setitem(cautions._SENTENCES, known, "<" + " ".join(["{}"] * known.count("{}")) + ">")
    translated = [cautions.translated(text) for text in said]
    assert translated == ["<>", "<75>", "<9.0 2.6 1>", "<9.0 3.0 2>", "<0.25 0.25>", "<>", "<>", "<>"]
    assert cautions.translated(f"{said[0]} {said[1]} Something new.") == "<> <75> Something new."
