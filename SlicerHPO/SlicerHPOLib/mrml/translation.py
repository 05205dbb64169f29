"""What the library says, in the user's language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
from slicer.i18n import translate

from ..words import Message, filled, value_names


def translated(said: str | Exception) -> str:
    """A text of the library, or what an error says, as the user reads it; what is no `Message` stays as it is."""
    text = str(said)
    if not isinstance(text, Message):
        return text
    sentence = translate(text.context, text.template)
    if value_names(sentence) != value_names(text.template):  # a translator's mistake, passed over as `tr` does
        sentence = text.template
    values = {name: translated(value) for name, value in text.values.items()}
    return filled(sentence, values) if values else sentence


@contextmanager
def tryWithErrorDisplay(message: str, waitCursor: bool = False) -> Iterator[None]:  # noqa: N802, N803 (Slicer's names)
    """`slicer.util.tryWithErrorDisplay`, in which errors of the library speak the user's language."""
    with slicer.util.tryWithErrorDisplay(message, waitCursor=waitCursor):
        try:
            yield
        except Exception as error:
            error.args = tuple(translated(part) if isinstance(part, str) else part for part in error.args)
            raise
