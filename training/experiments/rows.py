"""Rows of results, as files: of a table of the thesis, and those that an experiment adds one by one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeVar

from SlicerHPOLib.files import replacing

from ..lock import locked

Key = TypeVar("Key")
Result = TypeVar("Result")


def write_rows(out: Path, name: str, rows: Sequence, text: str) -> None:
    """`name`.csv, a column for each field of the rows (dataclasses of one kind, at least one), and `name`.md."""
    with replacing(out / f"{name}.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    with replacing(out / f"{name}.md") as temporary:
        temporary.write_text(text + "\n")


def add_result(
    file: Path,
    key: Key,
    result: Result,
    read: Callable[[Path], dict[Key, Result]],
    write: Callable[[Path, dict[Key, Result]], None],
) -> dict[Key, Result]:
    """Add a result to a file, or replace it there; returns all that the file has then.

    Several processes may add at once, and one may be killed at any moment: nothing that was added is lost.

    Args:
        file: a .csv, made where it is missing. read: its results by key, none if it is not there. write: all of them
            to a new file.
    """
    with locked(file):
        found = read(file) | {key: result}
        with replacing(file) as temporary:
            write(temporary, found)
    return found
