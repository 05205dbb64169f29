"""The rows of a table of the thesis, as files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from SlicerHPOLib.files import replacing


def write_rows(out: Path, name: str, rows: Sequence, text: str) -> None:
    """`name`.csv, a column for each field of the rows (dataclasses of one kind, at least one), and `name`.md."""
    with replacing(out / f"{name}.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    with replacing(out / f"{name}.md") as temporary:
        temporary.write_text(text + "\n")
