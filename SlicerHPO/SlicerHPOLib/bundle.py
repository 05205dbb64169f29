"""A deployed model: a folder with what it is and its weights, checked before anything of it is used.

    mr-field-of-view/
      model.json            what it is: `SCHEMA` names every key; `write_bundle` adds `format_version` and `files`
      weights.safetensors   named tensors, float16, float32 or a byte each (`quantised`); read as float32
      README.md             the model card, for people

A bundle may come from anywhere, so it is data and never code: no pickle is loaded, file names in model.json are plain
names of regular files inside the folder, sizes are limited, and the very bytes whose size and SHA-256 were compared are
the ones parsed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import MODELS
from .quantised import restored
from .words import _, joined, named

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 1
MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"
CARD = "README.md"
MODELS_VARIABLE = "SLICERHPO_MODELS"

SCHEMA: dict[str, type] = {
    "name": str,  # what the user types
    "task": str,  # what it answers: "mr-field-of-view"
    "summary": str,  # one sentence
    "architecture": dict,  # what builds the network
    "input": dict,  # what the network expects: size, spacing, intensity
    "decision": dict,  # what turns its output into the answer
    "training": dict,  # on what data, how long, seed
    "metrics": dict,  # what was measured, on what
    "licence": str,
    "attributions": list,  # whose work went into it, str each
    "intended_use": str,  # and that it is not for clinical use
}
_WRITTEN: dict[str, type] = {"format_version": int, **SCHEMA, "files": dict}
_JSON_TYPE = {
    str: _("text"),
    int: _("a whole number"),
    dict: _("an object {form}").format(form="{...}"),
    list: _("a list [...]"),
}
_FILE_ENTRY = '{"bytes": ..., "sha256": ...}'

_MANIFEST_LIMIT = 1 << 20  # bytes
_FILE_LIMIT = 1 << 30  # bytes
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class BundleError(ValueError):
    """A model that cannot be used or written; the message says what is wrong and what to do."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A deployed model, read and verified.

    Attributes:
        folder: where it was read from.
        manifest: model.json; has every key of `SCHEMA`.
        sha256: of model.json, which holds those of the other files: it identifies the whole model.
    """

    folder: Path
    manifest: dict[str, Any]
    sha256: str
    _contents: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What the model calls itself, wherever its folder lies."""
        return self.manifest["name"]

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the file holds, see `quantised`. Raises `BundleError`."""
        from safetensors import SafetensorError
        from safetensors.torch import load  # here, because a list of models and a settings panel have no use for torch

        try:
            return load(self._contents)
        except (SafetensorError, KeyError, ValueError) as error:
            where = self.folder / WEIGHTS
            raise BundleError(
                _("{where} is not a safetensors file ({error}). Get the model again.").format(where=where, error=error)
            ) from None

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights by name; floating-point ones as float32. Raises `BundleError`."""
        import torch

        where = self.folder / WEIGHTS
        try:
            tensors = restored(self.tensors())
        except ValueError as error:
            raise BundleError(named(where, _("{error}. Train or get the model again.").format(error=error))) from None
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise BundleError(
                    named(
                        where,
                        _("tensor {name} has NaN or infinite values. Train or get the model again.").format(
                            name=repr(name)
                        ),
                    )
                )
        return tensors


def read_bundle(path: str | os.PathLike) -> Bundle:
    """Reads and verifies the model in folder `path`. Raises `BundleError`."""
    folder = Path(path)
    manifest, sha256 = read_manifest(folder)
    contents = {name: _verified(folder, name, entry) for name, entry in manifest["files"].items()}
    return Bundle(folder, manifest, sha256, contents[WEIGHTS])


def read_manifest(folder: str | os.PathLike) -> tuple[dict[str, Any], str]:
    """What a bundle's model.json says, checked, and its SHA-256; the weights are not touched. Raises `BundleError`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BundleError(
            _("No model at {folder}: a folder with {manifest} and {weights} is expected.").format(
                folder=folder, manifest=MANIFEST, weights=WEIGHTS
            )
        )
    raw = _read(folder, MANIFEST, _MANIFEST_LIMIT)
    where = folder / MANIFEST
    try:
        manifest = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            _("{where} is not valid JSON ({error}). Get the model again.").format(where=where, error=error)
        ) from None
    if not isinstance(manifest, dict):
        raise BundleError(
            _("{where} holds {given}; {expected} is expected. Get the model again.").format(
                where=where, given=_kind(manifest), expected=_JSON_TYPE[dict]
            )
        )
    version = manifest.get("format_version")  # before the keys: another version may have others
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise BundleError(
            _("{where} has format version {version}; this SlicerHPO reads {format_version}. Update SlicerHPO.").format(
                where=where, version=version, format_version=FORMAT_VERSION
            )
        )
    _check_keys(manifest, _WRITTEN, where)
    if WEIGHTS not in manifest["files"]:
        raise BundleError(
            named(where, _("'files' does not name {weights}. Get the model again.").format(weights=WEIGHTS))
        )
    for name, entry in manifest["files"].items():
        _check_plain(name, where)
        if not isinstance(entry, dict):
            raise BundleError(
                named(
                    where,
                    _("file {name} is {given}; {expected} is expected.").format(
                        name=repr(name), given=_kind(entry), expected=_FILE_ENTRY
                    ),
                )
            )
        _check_keys(entry, {"bytes": int, "sha256": str}, f"{where}: file {name!r}")
    return manifest, hashlib.sha256(raw).hexdigest()


def write_bundle(
    folder: str | os.PathLike,
    manifest: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    model_card: str | None = None,
) -> Path:
    """Writes a bundle beside its place, reads it back, and moves it there: no one ever sees half a bundle.

    Args:
        folder: the bundle's folder; an older bundle there is replaced, anything else is refused.
        manifest: every key of `SCHEMA`, JSON values only.
        tensors: the weights, kept in the type they have (float16 halves the file).
        model_card: text of README.md.

    Returns the folder. Raises `BundleError`; nothing is written then.
    """
    from safetensors.torch import save

    folder = Path(folder).resolve()
    for key in ("format_version", "files"):
        if key in manifest:
            raise BundleError(
                _("The manifest has {key}, which is filled in when it is written: leave it out.").format(key=repr(key))
            )
    _check_keys(manifest, SCHEMA, _("The manifest"))
    if folder.exists() and not (folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))):
        raise BundleError(
            _("{folder} exists and is not a model: it is not replaced. Choose another folder.").format(folder=folder)
        )

    weights = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    files = {WEIGHTS: {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}}
    try:
        text = json.dumps(
            {"format_version": FORMAT_VERSION, **manifest, "files": files},
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        raise BundleError(_("The manifest holds something that is not JSON: {error}.").format(error=error)) from None

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        new.mkdir()  # a folder in the folder, because the temporary one is readable by its owner only
        (new / WEIGHTS).write_bytes(weights)
        (new / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")
        if model_card is not None:
            (new / CARD).write_text(model_card, encoding="utf-8", newline="\n")
        read_bundle(new).weights()  # what cannot be read back is not delivered
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
    return folder


def find_bundle(name_or_dir: str | os.PathLike) -> Path:
    """The folder of a model: that folder, or a name in $SLICERHPO_MODELS or among the extension's own.

    Raises `BundleError` that lists the models there are.
    """
    given = Path(name_or_dir)
    if str(name_or_dir) and given.is_dir():
        return given
    if _PLAIN_NAME.fullmatch(str(name_or_dir)):
        for folder in available_bundles():
            if folder.name == str(name_or_dir):
                return folder
    names = ", ".join(sorted({folder.name for folder in available_bundles()})) or _("none")
    places = joined(_(" and "), map(str, _places()))
    raise BundleError(
        _(
            "No model {name}: neither a folder nor a model in {places} (there: {names}). Give one of these names or a "
            "model's folder, or set {models_variable} to the folder that holds your models."
        ).format(name=repr(str(name_or_dir)), places=places, names=names, models_variable=MODELS_VARIABLE)
    )


def available_bundles() -> list[Path]:
    """The folders of all models that have a name here, in the order in which a name is looked up."""
    return [
        folder
        for place in _places()
        if place.is_dir()
        for folder in sorted(place.iterdir())
        if not folder.name.startswith(".") and (folder / MANIFEST).is_file()
    ]


def model_names(task: str) -> list[str]:
    """The names of the models there are for a task; broken ones are left out."""
    names = []
    for folder in available_bundles():
        with suppress(BundleError):
            if read_manifest(folder)[0]["task"] == task:
                names.append(folder.name)
    return list(dict.fromkeys(names))


def _places() -> list[Path]:
    given = os.environ.get(MODELS_VARIABLE)
    return [*([Path(given)] if given else []), MODELS]


def _check_keys(entry: Mapping[str, Any], schema: Mapping[str, type], where: object) -> None:
    for key, kind in schema.items():
        if key not in entry:
            raise BundleError(
                named(
                    where,
                    _("key {key} is missing; {expected} is expected.").format(key=repr(key), expected=_JSON_TYPE[kind]),
                )
            )
        value = entry[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BundleError(
                named(
                    where,
                    _("{key} is {given}; {expected} is expected.").format(
                        key=repr(key), given=_kind(value), expected=_JSON_TYPE[kind]
                    ),
                )
            )
        for item in value if kind is list else ():
            if not isinstance(item, str):
                raise BundleError(
                    named(
                        where,
                        _("{key} holds {given}; a list of texts is expected.").format(key=repr(key), given=_kind(item)),
                    )
                )


def _kind(value: object) -> str:
    for kind, words in _JSON_TYPE.items():
        if isinstance(value, kind) and not isinstance(value, bool):
            return _("{kind} ({value})").format(kind=words, value=repr(value)) if kind in (str, int) else words
    return json.dumps(value, default=repr)


def _refuse_constant(constant: str) -> None:
    raise ValueError(_("{constant} is not JSON").format(constant=constant))


def _check_plain(name: str, where: object) -> None:
    if not _PLAIN_NAME.fullmatch(name):
        raise BundleError(
            named(
                where,
                _("{name} is not a plain file name (letters, digits, . _ -). Do not use this model.").format(
                    name=repr(name)
                ),
            )
        )


def _verified(folder: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    """The bytes of a file of the bundle, once they are known to be the ones that model.json promises."""
    content = _read(folder, name, _FILE_LIMIT)
    if len(content) != entry["bytes"]:
        raise BundleError(
            _(
                "{path} has {length} bytes, {manifest} says {expected}: it is incomplete or was changed. Get the model "
                "again."
            ).format(path=folder / name, length=len(content), manifest=MANIFEST, expected=entry["bytes"])
        )
    if hashlib.sha256(content).hexdigest() != entry["sha256"].lower():
        raise BundleError(
            _("{path} does not have the SHA-256 that {manifest} says: it was changed. Get the model again.").format(
                path=folder / name, manifest=MANIFEST
            )
        )
    return content


def _read(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of the regular file `name` that lies in `folder`, also after links are followed."""
    path = folder / name
    try:
        status = path.stat()
        if path.resolve().parent != folder.resolve():
            raise BundleError(
                _("{path} is a link that leaves the model's folder. Do not use this model.").format(path=path)
            )
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise BundleError(_("{path} is not a regular file. Get the model again.").format(path=path))
        if status.st_size > limit:
            raise BundleError(
                _("{path} has {size} bytes; at most {limit} are read. Get the model again.").format(
                    path=path, size=status.st_size, limit=limit
                )
            )
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise BundleError(
            _("{path} is missing: {folder} is not a complete model. Get the model again.").format(
                path=path, folder=folder
            )
        ) from None
    except OSError as error:
        raise BundleError(
            _("{path} cannot be read ({reason}).").format(path=path, reason=error.strerror or error)
        ) from None
