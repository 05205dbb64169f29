"""What the library says to people: English, with what a translation needs wherever it is shown.

    raise ImageError(named(path, _("only {size} bytes are there.").format(size=size)))

The library knows no translator. A `Message` is the English text, and keeps the sentence, the values in it and the
sentence's context, by which 3D Slicer's translators know it; `mrml.translation` shows it in the user's language.
As everywhere in Slicer, the sentences are found in the sources: `_` takes one literal string, and nothing else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import PurePath

_VALUE = re.compile(r"\{(\w+)\}")  # nothing else: sentences may come from a scene or a translator


class Message(str):
    """A text in English that can be translated; a `str` for everything else.

    Args:
        context: of the translation, see `_`.
        template: the sentence; {name} stands for a value.
        values: by name; texts, which may be messages themselves.
    """

    def __new__(cls, context: str, template: str, values: Mapping[str, str] | None = None):
        message = super().__new__(cls, filled(template, values) if values else template)
        message.context, message.template, message.values = context, template, dict(values or {})
        return message

    def format(self, **values: object) -> Message:
        """The message with these values, each as `str` gives it: of an error whose text is a message, that message."""
        return Message(self.context, self.template, {name: str(value) for name, value in values.items()})

    def __str__(self) -> Message:
        return self  # so that str(error) still can be translated

    def __reduce__(self):
        return Message, (self.context, self.template, self.values)


def _(sentence: str) -> Message:
    """The message of a sentence. Its context is the one that Slicer gives to strings of the file that calls this: the
    names of its folder and its own."""
    file = PurePath(sys._getframe(1).f_code.co_filename)
    return Message(f"{file.parent.name}.{file.stem}", sentence)


def value_names(sentence: str) -> set[str]:
    """The names of the values that a sentence has places for."""
    return set(_VALUE.findall(sentence))


def filled(sentence: str, values: Mapping[str, str]) -> str:
    """A sentence with its values. Raises KeyError if it lacks one."""
    return _VALUE.sub(lambda found: values[found[1]], sentence)


def named(name: object, what: object) -> Message:
    """What is said about a file or another thing with a name, which comes first."""
    return _("{name}: {what}").format(name=name, what=what)


def unnamed(text: str, name: str) -> str:
    """What is `named`, without its name, if it has this one."""
    what = text.values.get("what") if isinstance(text, Message) else None
    return what if what is not None and text == named(name, what) else text.removeprefix(f"{name}: ")


def joined(separator: str, parts: Iterable[str | None]) -> str:
    """As `separator.join`, of those that are not empty. The separator may be a message, too, such as " or "."""
    values = {f"part{number}": part for number, part in enumerate(filter(None, parts), 1)}
    template = "{separator}".join(f"{{{name}}}" for name in values)
    return Message("", template, values | {"separator": separator})  # in all languages alike


def in_one_line(text: str) -> str:
    """Without line breaks, and with single spaces."""
    if not isinstance(text, Message):
        return " ".join(text.split())
    values = {
        name: in_one_line(value) if isinstance(value, Message) else re.sub(r"\s+", " ", value)
        for name, value in text.values.items()
    }
    return Message(text.context, text.template, values)


def packed(text: str | None) -> str | dict | None:
    """A text as a JSON value that another process or a later run can `unpack`, messages included."""
    if not isinstance(text, Message):
        return text
    values = {name: packed(value) for name, value in text.values.items()}
    return {"context": text.context, "template": text.template, "values": values}


def unpacked(value: str | dict | None) -> str | None:
    """The text that was `packed`. Raises ValueError if it is none."""
    if value is None or isinstance(value, str):
        return value
    try:
        values = {name: unpacked(part) for name, part in value["values"].items()}
        return Message(value["context"], value["template"], values)
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"This is no text that was packed: {value!r}") from None
