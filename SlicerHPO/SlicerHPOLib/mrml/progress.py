"""What long work says that it is doing, in the user's language: the library that does it knows no translator."""

from __future__ import annotations

import re

from slicer.i18n import tr as _

_TEXTS = {  # a number is {}
    "classifying slices": _("classifying slices"),
    "done": _("done"),
    "finding the kidney": _("finding the kidney"),
    "finding the probe": _("finding the probe"),
    "fitting the template": _("fitting the template"),
    "handing over the volume": _("handing over the volume"),
    "looking for volumes": _("looking for volumes"),
    "reading slices": _("reading slices"),
    "reading the model": _("reading the model"),
    "resampling": _("resampling"),
    "resampling the result": _("resampling the result"),
    "starting": _("starting"),
    "{} volume done": _("{} volume done"),
    "{} volumes done": _("{} volumes done"),
}


def translated(text: str) -> str:
    """The text of a `Status` as the user reads it; one that is not known stays as it is."""
    numbers = re.findall(r"\d+", text)
    return _TEXTS[known].format(*numbers) if (known := re.sub(r"\d+", "{}", text)) in _TEXTS else text
