"""A bundle is verified before it is used, and written whole or not at all."""

import hashlib
import json
import os
import re
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from SlicerHPOLib import bundle
from SlicerHPOLib.bundle import (
    MANIFEST,
    SCHEMA,
    WEIGHTS,
    BundleError,
    available_bundles,
    find_bundle,
    model_names,
    read_bundle,
    read_manifest,
    write_bundle,
)

VALUES = {str: "text", dict: {"a": [1, 2.5, None]}, list: ["Somebody's work"]}


def manifest(**changes):
    return {key: VALUES[kind] for key, kind in SCHEMA.items()} | changes


def tensors():
    return {
        "half": torch.tensor([[1.5, -2.0]], dtype=torch.float16),
        "full": torch.tensor([0.1]),
        "count": torch.tensor(3),
    }


@pytest.fixture
def folder(tmp_path):
    return write_bundle(tmp_path / "model", manifest(), tensors(), "# Model\n")


def rewrite(folder: Path, **changes):
    """Changes keys of model.json; a value of ... removes the key."""
    content = json.loads((folder / MANIFEST).read_text()) | changes
    content = {key: value for key, value in content.items() if value is not ...}
    (folder / MANIFEST).write_text(json.dumps(content))


def put_weights(folder: Path, content: bytes):
    """Other weights, with their true size and checksum."""
    (folder / WEIGHTS).write_bytes(content)
    rewrite(folder, files={WEIGHTS: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}})


def test_a_bundle_reads_back_as_written_with_its_weights_in_float32(folder):
    read = read_bundle(folder)
    assert {key: read.manifest[key] for key in SCHEMA} == manifest()
    assert read.name == "text"
    assert (folder / "README.md").read_text() == "# Model\n"
    weights = read.weights()
    assert weights["half"].dtype == weights["full"].dtype == torch.float32
    assert weights["half"].tolist() == [[1.5, -2.0]]
    assert weights["count"].dtype == torch.int64
    assert weights["count"].item() == 3


def test_half_precision_weights_stay_half_in_the_file(tmp_path):
    write_bundle(tmp_path / "full", manifest(), {"w": torch.ones(5000)})
    write_bundle(tmp_path / "half", manifest(), {"w": torch.ones(5000).half()})
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("full", "half")]
    assert sizes[0] - sizes[1] == pytest.approx(10000, abs=16)


def test_tensors_that_share_memory_or_are_transposed_are_written_by_value(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    weights = read_bundle(write_bundle(tmp_path / "m", manifest(), {"a": base, "b": base.T})).weights()
    assert torch.equal(weights["a"], base)
    assert torch.equal(weights["b"], base.T)


def test_the_same_model_gives_the_same_identity_and_another_one_another(tmp_path):
    first = write_bundle(tmp_path / "a", manifest(), tensors())
    second = write_bundle(tmp_path / "b", manifest(), tensors())
    third = write_bundle(tmp_path / "c", manifest(), tensors() | {"full": torch.tensor([0.2])})
    identities = [read_bundle(path).sha256 for path in (first, second, third)]
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.parametrize("key", ["format_version", "files", *SCHEMA])
def test_a_missing_key_is_named(folder, key):
    rewrite(folder, **{key: ...})
    with pytest.raises(BundleError, match=f"{key!r} is missing"):
        read_bundle(folder)


@pytest.mark.parametrize("key", ["format_version", "files", *SCHEMA])
@pytest.mark.parametrize("value", [True, None, 1.5])
def test_a_value_of_the_wrong_type_is_named(folder, key, value):
    rewrite(folder, **{key: value})
    with pytest.raises(BundleError, match=rf"{key!r} is {json.dumps(value)}; .* is expected"):
        read_bundle(folder)


def test_attributions_are_texts(folder):
    rewrite(folder, attributions=["fine", 3])
    with pytest.raises(BundleError, match=r"'attributions'.*3"):
        read_bundle(folder)


def test_a_bundle_of_a_later_format_asks_for_an_update(folder):
    rewrite(folder, format_version=2, summary=...)
    with pytest.raises(BundleError, match=r"format version 2.*reads 1.*Update"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "3", '{"format_version": NaN}', "[" * 100_000, "\xff\xfe", "null", '{"a": 1} x']
)
def test_what_is_no_json_object_is_refused(folder, text):
    (folder / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"model.json"):
        read_bundle(folder)


def test_changed_weights_are_refused_before_they_are_parsed(folder, monkeypatch):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256"):
        read_bundle(folder)


def test_truncated_weights_are_refused(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:-1])
    with pytest.raises(BundleError, match=f"{len(content) - 1} bytes.*says {len(content)}"):
        read_bundle(folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "name", ["../model.json", "/etc/passwd", "a/b", "a\\b", "..", ".", "", ".hidden", "C:x", "a\0b", "x\n"]
)
def test_a_file_name_that_is_not_plain_is_refused(folder, name):
    files = json.loads((folder / MANIFEST).read_text())["files"]
    rewrite(folder, files=files | {name: {"bytes": 1, "sha256": "0"}})
    with pytest.raises(BundleError, match="not a plain file name"):
        read_bundle(folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_link_that_leaves_the_folder_is_refused_and_one_that_stays_is_followed(folder, tmp_path, name):
    inside = folder / f"real-{name}"
    (folder / name).rename(inside)
    (folder / name).symlink_to(inside.name)
    read_bundle(folder)
    outside = tmp_path / name
    inside.rename(outside)
    (folder / name).unlink()
    (folder / name).symlink_to(outside)
    with pytest.raises(BundleError, match="link that leaves"):
        read_bundle(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_instead_of_a_file_does_not_hang(folder):
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    with pytest.raises(BundleError, match="not a regular file"):
        read_bundle(folder)


def test_a_file_over_the_limit_is_refused_without_being_read(folder, monkeypatch):
    monkeypatch.setattr(bundle, "_FILE_LIMIT", 10)
    with pytest.raises(BundleError, match="at most 10"):
        read_bundle(folder)


def test_files_must_name_the_weights_with_size_and_checksum(folder):
    rewrite(folder, files={})
    with pytest.raises(BundleError, match=f"does not name {re.escape(WEIGHTS)}"):
        read_bundle(folder)
    rewrite(folder, files={WEIGHTS: {"bytes": 3}})
    with pytest.raises(BundleError, match="'sha256' is missing"):
        read_bundle(folder)
    rewrite(folder, files={WEIGHTS: "here"})
    with pytest.raises(BundleError, match="bytes"):
        read_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64])
def test_weights_that_are_no_safetensors_are_refused_even_with_the_right_checksum(folder, content):
    put_weights(folder, content)
    with pytest.raises(BundleError, match="not a safetensors file"):
        read_bundle(folder).weights()


def test_weights_that_are_not_finite_are_refused(folder):
    put_weights(folder, save({"bad": torch.tensor([1.0, float("nan")])}))
    with pytest.raises(BundleError, match="'bad' has NaN"):
        read_bundle(folder).weights()


def test_a_folder_that_is_not_there_says_what_is_expected(tmp_path):
    with pytest.raises(BundleError, match=r"No model at .*model.json"):
        read_bundle(tmp_path / "none")


def test_reading_what_a_model_is_does_not_touch_its_weights(folder):
    (folder / WEIGHTS).unlink()
    content, _ = read_manifest(folder)
    assert content["name"] == "text"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["format_version", "files", *SCHEMA]), JSON, min_size=1), JSON)
def test_whatever_a_manifest_holds_it_is_read_or_refused_with_a_bundle_error(folder, changes, file):
    before = (folder / MANIFEST).read_text()
    try:
        for content in (changes, {"files": {WEIGHTS: file}}):
            (folder / MANIFEST).write_text(json.dumps(json.loads(before) | content))
            try:
                assert read_bundle(folder).manifest.keys() >= SCHEMA.keys()
            except BundleError as error:
                assert str(folder) in str(error)
    finally:
        (folder / MANIFEST).write_text(before)


# --- Writing -------------------------------------------------------------------------------------------------------


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("content", "weights", "words"),
    [
        ({"name": "x"}, {}, "'task' is missing"),
        (manifest(metrics={"error": float("nan")}), {}, "not JSON"),
        (manifest(metrics={"error": torch.ones(1)}), {}, "not JSON"),
        (manifest(files={}), {}, "leave it out"),
        (manifest(), {"w": torch.tensor([float("inf")])}, "infinite"),
    ],
)
def test_a_bundle_that_cannot_be_written_leaves_the_old_one_as_it_was(folder, content, weights, words):
    before = everything_in(folder.parent)
    with pytest.raises(BundleError, match=words):
        write_bundle(folder, content, weights)
    assert everything_in(folder.parent) == before


def test_a_new_bundle_replaces_the_old_one_with_nothing_left_of_it(folder):
    (folder / "old-note.txt").write_text("old")
    write_bundle(folder, manifest(name="second"), tensors())
    assert read_bundle(folder).name == "second"
    assert sorted(everything_in(folder.parent)) == [f"model/{MANIFEST}", f"model/{WEIGHTS}"]


def test_a_failure_at_the_last_step_puts_the_old_bundle_back(folder, monkeypatch):
    before = everything_in(folder.parent)
    rename = Path.rename

    def fail_on_new(self, target):
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(folder, manifest(name="second"), tensors())
    assert everything_in(folder.parent) == before


def test_a_folder_that_is_no_model_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("work")
    for name in ("thesis", "file"):
        with pytest.raises(BundleError, match="not a model"):
            write_bundle(tmp_path / name, manifest(), tensors())
    assert everything_in(tmp_path) == {"thesis/chapter.txt": b"years of work", "file": b"work"}


def test_others_can_read_a_bundle_as_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        folder = write_bundle(tmp_path / "m", manifest(), tensors())
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / WEIGHTS).stat().st_mode & 0o777 == 0o644


# --- Finding -------------------------------------------------------------------------------------------------------


def test_a_model_is_found_by_folder_or_by_name(tmp_path, monkeypatch):
    folder = write_bundle(tmp_path / "mine", manifest(), tensors())
    monkeypatch.setenv(bundle.MODELS_VARIABLE, str(tmp_path))
    assert find_bundle(folder) == folder
    assert find_bundle("mine") == folder
    assert folder in available_bundles()


def test_an_unknown_name_lists_the_models_there_are(tmp_path, monkeypatch):
    write_bundle(tmp_path / "mine", manifest(), tensors())
    (tmp_path / "no-model").mkdir()
    monkeypatch.setenv(bundle.MODELS_VARIABLE, str(tmp_path))
    for name in ("yours", "../mine/x", ""):
        with pytest.raises(BundleError, match="mine") as error:
            find_bundle(name)
        assert "no-model" not in str(error.value)


def test_the_models_for_a_task_are_named_and_broken_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv(bundle.MODELS_VARIABLE, str(tmp_path))
    for name, task in (("good", "this"), ("broken", "this"), ("other", "that")):
        write_bundle(tmp_path / name, manifest(task=task), tensors())
    (tmp_path / "broken" / MANIFEST).write_text("{")
    assert model_names("this") == ["good"]
    assert model_names("that") == ["other"]
    assert model_names("none") == []
