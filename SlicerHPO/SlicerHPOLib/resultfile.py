"""Files of results: written in one step, read back as written, and never in the place of something else.

A result names its volume by the path the user gave, never by anything from a header. It keeps what it was computed from
(size and modification time of the volume, model, software, parameters), so that a later run knows what is still to do.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .files import replacing
from .words import _

FORMAT_VERSION = 1

R = TypeVar("R")


class ResultsError(ValueError):
    """A file that does not hold results, or cannot be read or written; the message says what to do."""


@dataclass(frozen=True)
class VolumeResult:
    """What every result says: of which volume it is, what it rests on, and whether there is an answer.

    Attributes:
        path: as the user gave it, or below the folder that he gave. series, frame: what was chosen of it, if anything.
        bytes, modified: size of the volume's files and their latest modification (ISO 8601, UTC).
        model, model_sha256, software: what computed it.
        error: why there is no answer; empty if there is one.
    """

    path: str
    series: str | None
    frame: int | None
    bytes: int
    modified: str
    model: str
    model_sha256: str
    software: str
    error: str = field(default="", kw_only=True)

    @property
    def key(self) -> tuple[str, str | None, int | None]:
        """What tells volumes apart."""
        return os.path.normpath(self.path), self.series, self.frame

    @property
    def basis(self) -> tuple:
        """What the answer depends on: the same basis gives the same answer."""
        return self.bytes, self.modified, self.model_sha256


def write_json(path: Path, form: str, volumes: Iterable[Mapping[str, Any]]) -> None:
    """Writes an entry for each volume in a file of this form, in one step."""
    content = {"format": form, "format_version": FORMAT_VERSION, "volumes": list(volumes)}
    _write(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path, form: str, parse: Callable[[dict[str, Any]], R]) -> list[R]:
    """What `parse` makes of each entry of a file of this form.

    Raises:
        ResultsError: it is no such file, or `parse` raised ValueError, KeyError, TypeError or AttributeError.
    """

    def entries(text: str) -> list[R]:
        content = json.loads(text)
        if content["format"] != form or content["format_version"] != FORMAT_VERSION:
            raise ValueError("another format")
        return [parse(volume) for volume in content["volumes"]]

    return _read(path, entries)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes a table, in one step; what a row lacks is empty."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    _write(path, text.getvalue())


def read_csv(path: Path, columns: Sequence[str], parse: Callable[[Iterable[dict[str, str]]], R]) -> R:
    """What `parse` makes of the rows of a table with these columns; raises as `read_json`."""

    def rows(text: str) -> R:
        table = csv.DictReader(io.StringIO(text, newline=""))
        if tuple(table.fieldnames or ()) != tuple(columns):
            raise ValueError("other columns")
        return parse(table)

    return _read(path, rows)


def _read(path: Path, parse: Callable[[str], R]) -> R:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return parse(file.read())
    except OSError as error:
        raise ResultsError(
            _("{path} cannot be read ({reason}).").format(path=path, reason=error.strerror or error)
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error):
        raise ResultsError(
            _(
                "{path} exists and does not hold results of this program (or of another version): it is not replaced. "
                "Choose another file, or move this one away."
            ).format(path=path)
        ) from None


def _write(path: Path, text: str) -> None:
    """Writes a file in one step. Raises `ResultsError`; the old content is there then."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise ResultsError(
            _("{path} cannot be written ({reason}).").format(path=path, reason=error.strerror or error)
        ) from None
