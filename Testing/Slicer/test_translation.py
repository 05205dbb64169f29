"""Every string that a user sees can be translated: in Python through `_`, in .ui files by not being marked notr.

Slicer's translators get the strings from `_("...")` in the sources, and from `<string>` in .ui files. `_` is `tr` in
the modules and in `SlicerHPOLib.mrml`; in the rest of the library, which knows no Slicer, it is `SlicerHPOLib.words._`,
and `mrml.translation` translates what was said where it is shown.
"""

import ast
import re
import subprocess
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
        if called(node) in TRANSLATES and path.name != "translation.py":  # which translates what the library says
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
        for text in entry.iter("string"):
            if text.get("notr") == "true":
                kept.add(entry.get("name"))
    assert kept <= {"styleSheet"}


def test_the_rule_finds_what_it_should():
    """A rule that finds nothing would pass, too."""
    source = (
        'label.text = "Press Apply first."\nlabel.text = _("Press Apply first.")\nraise Error(f"{name} has no image")'
    )
    assert [line for line, _text in shown(ast.parse(source))] == [1, 3]


# What Slicer's translators find


def context_of(path):
    """As Slicer's tools and `slicer.i18n` have it."""
    return f"{path.parent.name}.{path.stem}" if (path.parent / "__init__.py").exists() else path.stem


def as_slicers_tools_read_it(path):
    """As Slicer's update_translations.py hands a source to Qt's lupdate: translate(context, "...") for _("...")."""
    source = path.read_text()
    for quotes in ('"', "'"):
        sentence = rf"(?<!_)_\((\s*{quotes}.+?{quotes}\s*)\)"
        source = re.sub(sentence, rf'translate("{context_of(path)}", \1)', source, flags=re.DOTALL)
    return source


def test_slicers_tools_find_every_string_of_the_modules_and_the_library(tmp_path):
    """Also where one such call ends and the next begins."""
    lupdate = Path(pytest.importorskip("PySide6").__file__).with_name("lupdate")
    if not lupdate.exists():
        pytest.skip("PySide6 is here without lupdate")
    expected, copies = set(), []
    for path in SOURCES.rglob("*.py"):
        copies.append(tmp_path / "-".join(path.relative_to(SOURCES).parts))
        copies[-1].write_text(as_slicers_tools_read_it(path))
        said = [node.args[0].value for node in ast.walk(ast.parse(path.read_text())) if called(node) == "_"]
        expected.update((context_of(path), text) for text in said)
    subprocess.run([lupdate, *copies, "-ts", tmp_path / "found.ts"], check=True, capture_output=True)
    contexts = ElementTree.parse(tmp_path / "found.ts").getroot().iter("context")
    found = {(context.findtext("name"), text.text) for context in contexts for text in context.iter("source")}
    assert len(expected) > 400
    assert expected <= found
    assert {context for context, _text in found - expected} == {"qSlicerAbstractCoreModule"}  # the categories


# What the library says, which knows no translator


def sentences_of_the_library():
    """Context and text of every sentence in it."""
    for path in sorted((SOURCES / "SlicerHPOLib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if called(node) == "_" and "mrml" not in path.parts:
                yield context_of(path), node.args[0].value


def test_every_sentence_of_the_library_is_translated_with_its_values(shouting):
    from SlicerHPOLib.words import Message

    known = list(sentences_of_the_library())
    assert len(known) > 200
    for context, sentence in known:
        names = re.findall(r"\{(\w+)\}", sentence)
        values = {name: str(number) for number, name in enumerate(names, 11)}
        text = Message(context, sentence, values)
        assert shouting(text) == sentence.format(**values).upper()
        assert shouting(Message(context, "{why}", {"why": text})) == sentence.format(**values).upper()


def test_the_context_of_a_message_is_its_sources(scene, shouting):
    from SlicerHPOLib.bundle import BundleError, find_bundle

    with pytest.raises(BundleError) as error:
        find_bundle("none such")
    said = str(error.value)
    assert (said.context, said.template) in set(sentences_of_the_library())


@pytest.mark.parametrize("text", ["", "plain", "2 of 3: {scan}"])
def test_what_is_no_message_stays_as_it_is(shouting, text):
    assert shouting(text) == text and shouting(ValueError(text)) == text


@pytest.mark.parametrize(
    "wrong",
    ["nur {wieviel} Bytes", "nur {size!x} Bytes", "nur {0} Bytes", "nur {size", "nur {size.x}", "nur {size[x]}"],
)
def test_a_translation_that_does_not_fit_its_values_is_not_used(scene, monkeypatch, wrong):
    from SlicerHPOLib.mrml import translation
    from SlicerHPOLib.words import _

    monkeypatch.setattr(translation, "translate", lambda context, text: wrong)
    assert translation.translated(_("only {size} bytes").format(size=3)) == "only 3 bytes"
    monkeypatch.setattr(translation, "translate", lambda context, text: "nur {size} Bytes")
    assert translation.translated(_("only {size} bytes").format(size=3)) == "nur 3 Bytes"


def test_an_error_is_shown_in_the_users_language_and_stays_the_same_error(shouting, dialogs):
    from SlicerHPOLib.image import ImageError, read_image
    from SlicerHPOLib.mrml.translation import tryWithErrorDisplay

    with pytest.raises(ImageError) as error, tryWithErrorDisplay("Not read."):
        read_image("none.nii")
    assert str(error.value) == "none.nii: THERE IS NO SUCH FILE OR FOLDER."
    assert dialogs.texts("error") == ["Not read.\n\nnone.nii: THERE IS NO SUCH FILE OR FOLDER."]
    with pytest.raises(OSError, match="No such file") as error, tryWithErrorDisplay("Not read."):
        Path("none.nii").read_bytes()
    assert error.value.errno == 2


SAID_BY_OTHERS = (r"Expecting value: line 1 column 1 \(char 0\)", "# Markups fiducial file version = ")


def what_the_library_says(folder):
    """Errors and warnings of all kinds, as users meet them."""
    from SlicerHPOLib import batch, image, segmentation
    from SlicerHPOLib.bundle import find_bundle, read_bundle
    from SlicerHPOLib.fieldofview import regions
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.kidney import corrections, measures, pointfile, points, request
    from SlicerHPOLib.kidney import segmentation as kidney
    from SlicerHPOLib.kidney.grid import Grid

    phi, seen = np.ones((4, 4, 4), np.float32), np.zeros((4, 4, 4), bool)
    seen[0] = True
    one = points.Points().add_inside((0, 0, 0))
    yield kidney.border_warning(phi, Grid(np.eye(4), phi.shape), Image(phi, np.eye(4)))
    yield kidney.unseen_warning(phi, seen)
    yield corrections._warning(9.0, one)
    yield corrections._warning(9.0, one.add_inside((1, 0, 0)))
    yield kidney.nothing_found("unet").args[0]
    yield request.why_not("magic", "auto")
    yield request.why_not("unet", "giant")
    yield request.why_not("classical", "child")
    files = {
        "empty.nii": b"",
        "short.nii": b"abc",
        "none.nrrd": b"abc",
        "none.mha": b"abc",
        "text.txt": b"abc",
        "points.json": b"{}",
        "points.fcsv": b"a,b",
        "points.mrk.json": b'{"markups": [{"type": "Line"}]}',
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    ramp, cube = np.arange(27.0).reshape(3, 3, 3), np.zeros((6, 6, 6), bool)
    slices = np.eye(7)[[0, 1, 2]], [0, 10, 20], [True, True, True]
    cube[0, 0, 0] = cube[4, 4, 4] = True
    corrector = corrections.Corrector(np.where(np.indices((9, 9, 9)).sum(0) < 12, 3.0, -3.0), Grid(np.eye(4), (9,) * 3))
    for say in (
        *[lambda name=name: image.read_image(folder / name) for name in (*files, "none.nii", "none.mhd", ".")],
        *[lambda name=name: pointfile.read_points(folder / name) for name in files],
        lambda: image.read_image(folder / "empty.nii", series="3"),
        lambda: image.require_volume(Image(np.ones((3, 3, 3)), np.eye(4)), "scan"),
        lambda: image.require_volume(Image(np.full((3, 3, 3), np.nan), np.eye(4)), "scan"),
        lambda: image.require_volume(Image(ramp[:1], np.eye(4)), "scan"),
        lambda: image.write_image(Image(ramp, np.eye(4)), folder / "a.tif"),
        lambda: image.resample(Image(ramp, np.eye(4)), spacing_mm=-1),
        lambda: segmentation.write_segmentation(Image(ramp, np.eye(4)), folder / "a.stl"),
        lambda: segmentation.write_segmentation(Image(0 * ramp, np.eye(4)), folder / "a.nii.gz"),
        lambda: find_bundle("none"),
        lambda: read_bundle(folder),
        lambda: measures.measure_mask(Image(cube, np.eye(4))),
        lambda: one.move(3, (0, 0, 0)),
        lambda: one.add_outside((0, 0, np.nan)),
        lambda: one.add_outside("here"),
        lambda: corrector(one.add_outside((0, 0, 0))),
        lambda: corrector(one.add_inside((90, 0, 0))),
        lambda: regions.decide(*slices, fixed={"knee/hip": 3}),
        lambda: regions.decide(*slices, fixed={"abdomen/chest": 900}),
        lambda: regions.decide(*slices[:2], [False, False, False]),
        lambda: batch.classify([], model="mr-field-of-view"),
        lambda: batch.classify([folder], frame=-1),
        lambda: batch.segment([folder], folder / "out", method="classical"),
    ):
        try:
            say()
        except ValueError as error:
            yield str(error)
    (result,) = batch.classify([folder / "none.nii"])
    yield result.error


def test_no_english_is_left_in_what_the_library_says(scene, tmp_path, monkeypatch):
    """The values in its sentences are names, numbers and what the system says, all else is in the sentences."""
    from SlicerHPOLib.mrml import translation
    from SlicerHPOLib.words import Message

    def values_alone(context, text):
        return "|".join(re.findall(r"\{\w+\}", text))

    monkeypatch.setattr(translation, "translate", values_alone)
    said = list(what_the_library_says(tmp_path))
    assert len(said) > 40 and all(isinstance(text, Message) for text in said)
    values = [translation.translated(text).replace(str(tmp_path), "") for text in said]
    ours = [re.sub("|".join(SAID_BY_OTHERS), "", text) for text in values]
    assert not [text for text in ours if re.search("[A-Za-z]{2,} +[a-z]{2,}", text)]
