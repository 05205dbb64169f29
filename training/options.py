"""From a command's options to the dataclasses that describe a training."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

Kind = TypeVar("Kind")


def fields_of(kind: type[Kind], options, **given) -> Kind:
    """A dataclass whose fields are the options of the same name; the others have their defaults."""
    return kind(**({f.name: getattr(options, f.name) for f in fields(kind) if hasattr(options, f.name)} | given))
