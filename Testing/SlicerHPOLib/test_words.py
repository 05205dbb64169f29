"""What the library says to people: the English text for all, and still a sentence with values for who translates it."""

import ast
import copy
import json
import pickle
import re
import string
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from SlicerHPOLib import image, words
from SlicerHPOLib.background import BackgroundTask, TaskError
from SlicerHPOLib.batch.volumes import without_name
from SlicerHPOLib.foldertask import FolderTask
from SlicerHPOLib.image import Image, ImageError
from SlicerHPOLib.kidney.points import CorrectionError, Points
from SlicerHPOLib.words import Message, _, in_one_line, joined, named, packed, unnamed, unpacked
from SlicerHPOLib.worker import segment_request

LIBRARY = Path(words.__file__).parent
# Their errors are of networks and templates as training makes them, and of the console: no user of Slicer meets them
OF_PROGRAMMERS = {
    "__main__.py",
    "quantised.py",
    "fieldofview/network.py",
    "kidney/deformation.py",
    "kidney/template.py",
    "kidney/transfer.py",
    "kidney/transforms.py",
    "kidney/unet.py",
}
FIGURES = {"fieldofview/figure.py", "kidney/figure.py", "kidney/views.py"}  # what is written in them is English
NAMES = {  # by which files, and what reads and draws them, know something
    "resultfile.py": {"another format", "other columns"},  # never leaves the file
    "itk.py": {"ITK ERROR:|sitk::ERROR:"},
    "kidney/pointfile.py": {
        "SlicerHPO correction points",
        "Markups fiducial file version",
        '"# Markups fiducial file version = ..."',
        '{"ras_mm": [R, A, S], "inside": true or false}',
    },
    "kidney/population.py": {"child.", "gate."},
    "kidney/results.py": {"SlicerHPO kidney segmentation"},
    "results.py": {"SlicerHPO field of view"},
    "segmentation.py": {
        "Segmentation category and type - 3D Slicer General Anatomy list",
        "Anatomic codes - DICOM master list",
        "Binary labelmap",
        "Anatomical Structure",
        "left kidney",
        "right kidney",
        "TerminologyEntry:",
    },
    "volumefile.py": {"space directions", "data file", "line skip", "byte skip"},
    "words.py": {"This is no text that was packed: "},
}
SOURCES = {
    str(path.relative_to(LIBRARY)): ast.parse(path.read_text())
    for path in sorted(LIBRARY.rglob("*.py"))
    if "mrml" not in path.parts
}
SPOKEN = sorted(SOURCES.keys() - OF_PROGRAMMERS - FIGURES)


def sentences(tree):
    """The calls of `_` in a module."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_"]


def fields(sentence):
    return [(name, spec, conversion) for _text, name, spec, conversion in string.Formatter().parse(sentence) if name]


def reads_like_words(tree):
    """Line and text of every string that does, is no docstring, and is not within `_(...)`."""
    excused = {id(part) for node in sentences(tree) for part in ast.walk(node)}
    excused |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in excused else None
        if isinstance(text, str) and re.search(r"[A-Za-z]{2,}[.:]? +[A-Za-z]{2,}|[a-z]{2,}[.:!?](?: |$)", text):
            yield node.lineno, text


# The rules of the sources


@pytest.mark.parametrize("file", SPOKEN)
def test_whatever_reads_like_words_can_be_translated(file):
    found = [f"{line}: {text}" for line, text in reads_like_words(SOURCES[file]) if text not in NAMES.get(file, ())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", SPOKEN)
def test_no_error_is_raised_with_a_text_put_together(file):
    raised = [node.exc for node in ast.walk(SOURCES[file]) if isinstance(node, ast.Raise)]
    for said in (error.args[0] for error in raised if isinstance(error, ast.Call) and error.args):
        parts = [part.value for part in ast.walk(said) if isinstance(part, ast.Constant)]
        is_text = isinstance(said, ast.JoinedStr) or isinstance(getattr(said, "value", None), str)
        assert not is_text or NAMES.get(file, set()) & set(parts), f"{file}:{said.lineno}"


@pytest.mark.parametrize("file", sorted(SOURCES))
def test_a_sentence_is_one_literal_with_plain_names_for_values_all_of_which_are_given(file):
    tree = SOURCES[file]
    formats = {
        id(node.func.value): {keyword.arg for keyword in node.keywords}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format"
    }
    for node in sentences(tree):
        (said,) = node.args
        assert isinstance(said, ast.Constant) and isinstance(said.value, str) and not node.keywords
        assert all(name.isidentifier() and not spec and not conversion for name, spec, conversion in fields(said.value))
        assert not re.search("[{}]", re.sub(r"\{\w+\}", "", said.value))
        if id(node) in formats:
            assert {name for name, *_how in fields(said.value)} == formats[id(node)], f"{file}:{node.lineno}"


@pytest.mark.parametrize("file", sorted(SOURCES))
def test_nothing_else_is_called_as_what_makes_messages_is(file):
    tree = SOURCES[file]
    if sentences(tree) and file != "words.py":
        stored = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "_"]
        used = [node.func.lineno for node in sentences(tree)]
        assert sorted(stored) == sorted(used)


def test_the_rules_find_what_they_should():
    tree = ast.parse('raise Error(_("no {what}").format(what="hot water"))\nsay("is missing.")\n_(f"no {x}")')
    assert {text for _line, text in reads_like_words(tree)} == {"hot water", "is missing."}
    assert {type(node.args[0]) for node in sentences(tree)} == {ast.Constant, ast.JoinedStr}
    assert fields("{a} {b!r} {c:g}") == [("a", "", None), ("b", "", "r"), ("c", "g", None)]


# Messages

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
PLAIN = TEXTS | st.integers() | st.floats(allow_nan=False) | st.builds(Path, TEXTS)


@st.composite
def with_english(draw, values):
    """A message and what it says in English."""
    given = draw(st.dictionaries(st.sampled_from("abc"), values, min_size=1))
    template = "of " + " and ".join(f"{{{name}}}" for name in given) + draw(st.sampled_from(["", ".", "!"]))
    values = {name: value[0] if isinstance(value, tuple) else value for name, value in given.items()}
    english = {name: value[1] if isinstance(value, tuple) else value for name, value in given.items()}
    return _(template).format(**values), template.format(**english)


MESSAGES = st.recursive(PLAIN, with_english, max_leaves=6).filter(lambda drawn: isinstance(drawn, tuple))


@given(MESSAGES)
def test_a_message_is_the_english_text(drawn):
    message, english = drawn
    assert message == english and hash(message) == hash(english)
    assert f"{message}" == english and "%s" % message == english and message + "" == english  # noqa: UP031
    assert json.loads(json.dumps({"text": message})) == {"text": english}


@given(MESSAGES)
def test_a_message_survives_files_processes_and_copies(drawn):
    message, english = drawn
    for again in (
        unpacked(json.loads(json.dumps(packed(message)))),
        pickle.loads(pickle.dumps(message)),
        copy.deepcopy(message),
        str(message),
    ):
        assert isinstance(again, Message) and again == english
        assert (again.context, again.template, again.values) == (message.context, message.template, message.values)


@given(MESSAGES)
def test_an_error_says_the_english_text_and_keeps_the_message(drawn):
    message, english = drawn
    error = pickle.loads(pickle.dumps(ImageError(message)))
    assert str(error) == english and str(error).template == message.template
    around = _("Not done: {error}").format(error=error)
    assert around == f"Not done: {english}" and around.values["error"].values == message.values


@pytest.mark.parametrize("text", ["", "plain", "with {braces}", None])
def test_what_is_no_message_is_packed_as_it_is(text):
    assert packed(text) == text and unpacked(text) == text


@pytest.mark.parametrize("value", [3, [], {}, {"values": []}, {"context": "a", "template": "{b}", "values": {"c": ""}}])
def test_what_was_not_packed_is_refused(value):
    with pytest.raises(ValueError, match="no text"):
        unpacked(value)


@pytest.mark.parametrize("template", ["{a:9999999999}", "{a.__class__}", "{a[0]}", "{a!r}", "{", "}{"])
def test_a_sentence_from_elsewhere_can_ask_for_nothing_but_its_values(template):
    """A scene that somebody sends may hold any."""
    assert unpacked({"context": "", "template": template + " {a}", "values": {"a": "1"}}) == f"{template} 1"


@given(TEXTS, st.lists(TEXTS.filter(bool)))
def test_joined_texts_are_those_of_join(separator, parts):
    assert joined(separator, parts) == separator.join(parts)
    assert joined(_(" or "), [None, *parts, ""]) == " or ".join(parts)


def test_parts_that_are_joined_can_still_be_translated():
    whole = joined(" ", [_("One."), None, _("Two.")])
    assert whole == "One. Two."
    assert [part.template for part in whole.values.values() if isinstance(part, Message)] == ["One.", "Two."]


def test_however_many_parts_can_be_joined():
    """A folder may hold thousands of series."""
    many = named("folder", joined("\n", [_("series {number}").format(number=number) for number in range(5000)]))
    assert len(many.splitlines()) == 5000
    assert copy.deepcopy(many) == unpacked(json.loads(json.dumps(packed(many)))) == many
    assert in_one_line(many) == many.replace("\n", " ")


@given(MESSAGES, st.text("ab /.", min_size=1))
def test_a_name_comes_first_and_can_be_taken_off(drawn, name):
    message, english = drawn
    assert named(name, message) == f"{name}: {english}"
    assert unnamed(named(name, message), name).values == message.values
    assert unnamed(f"{name}: {english}", name) == english
    assert unnamed(message, name) == english.removeprefix(f"{name}: ")


@given(MESSAGES)
def test_a_message_in_one_line_has_no_line_break_and_keeps_its_sentences(drawn):
    message, english = drawn
    line = in_one_line(message)
    assert " ".join(line.split()) == " ".join(english.split()) and not re.search(r"[\n\r\t]", line)
    assert line.template == message.template


# Where they come from


def test_the_context_is_folder_and_file_as_slicers_translators_have_it():
    with pytest.raises(CorrectionError) as error:
        Points().remove(1)
    assert str(error.value).context == "kidney.points"
    with pytest.raises(ImageError) as error:
        image.read_image("none.nii")
    assert str(error.value).values["what"].context == "SlicerHPOLib.image"


def test_a_result_says_why_without_the_name_of_its_volume_and_in_one_line(tmp_path):
    with pytest.raises(ImageError) as error:
        image.read_image(tmp_path / "none.nii")
    why = without_name(error.value, str(tmp_path / "none.nii"))
    assert why == "there is no such file or folder." and why.template == why
    assert without_name(ValueError("a: b\n  c"), "a") == "b c"
    assert without_name(ValueError(), "a") == "ValueError"


def test_what_a_worker_says_arrives_as_messages():
    said = []

    class Listening(BackgroundTask):
        def poll(self):
            status = super().poll()
            said.append(status.text)
            return status

    task = Listening()
    task.start(segment_request(Image(np.zeros((2, 2, 2)), np.eye(4)), model="none", method="unet"))
    with pytest.raises(TaskError) as error:
        task.wait()
    assert str(error.value).template.startswith("No model {name}: ")
    assert str(error.value).values["name"] == "'none'"
    assert {text.context for text in said} >= {"SlicerHPOLib.background", "SlicerHPOLib.bundle"}


def test_what_is_said_about_the_volumes_of_a_folder_arrives_as_messages(tiny_model, tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    task = FolderTask()
    task.start(tmp_path, str(tiny_model))
    (result,) = task.wait()
    assert result.error.template and result.error.context == "SlicerHPOLib.volumefile"
    task.start(tmp_path, "no such model")
    with pytest.raises(TaskError) as error:
        task.wait()
    assert str(error.value).context == "SlicerHPOLib.bundle"


def test_a_module_that_runs_as_a_process_has_the_same_context(tmp_path):
    """There, its name is __main__."""
    command = [sys.executable, "-m", "SlicerHPOLib.worker", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=LIBRARY.parent)
    assert done.returncode == 1
    error = unpacked(json.loads((tmp_path / "result.json").read_text())["error"])
    assert error.startswith("The computation failed: FileNotFoundError: ")
    assert error.context == "SlicerHPOLib.worker"
