"""Why a result may be wrong, in the user's language: the library that says it knows no translator."""

from __future__ import annotations

import re

from slicer.i18n import tr as _

_SENTENCES = {  # a number is {}
    "The kidney reaches the border of the volume: part of it is probably missing, and not measured.": _(
        "The kidney reaches the border of the volume: part of it is probably missing, and not measured."
    ),
    "{} % of the kidney lies outside of what the probe shows: its outline there is a guess.": _(
        "{} % of the kidney lies outside of what the probe shows: its outline there is a guess."
    ),
    "Low confidence ({}; usual is {} or more): there may be no kidney in this volume. "
    "Check the result before you use it.": _(
        "Low confidence ({}; usual is {} or more): there may be no kidney in this volume. "
        "Check the result before you use it."
    ),
    "No cone of an ultrasound probe is visible: its direction was guessed, and if this is no ultrasound, "
    "the confidence means nothing. Check the result before you use it.": _(
        "No cone of an ultrasound probe is visible: its direction was guessed, and if this is no ultrasound, "
        "the confidence means nothing. Check the result before you use it."
    ),
    "This model answers for all alike: it makes no difference that 'adult' was asked for.": _(
        "This model answers for all alike: it makes no difference that 'adult' was asked for."
    ),
    "This model answers for all alike: it makes no difference that 'child' was asked for.": _(
        "This model answers for all alike: it makes no difference that 'child' was asked for."
    ),
    "The points change the shape by {} standard deviations of the shape model; more than {} is unusual for {} point. "
    "Check that every point is on its right side.": _(
        "The points change the shape by {} standard deviations of the shape model; more than {} is unusual for {} "
        "point. Check that every point is on its right side."
    ),
    "The points change the shape by {} standard deviations of the shape model; more than {} is unusual for {} points. "
    "Check that every point is on its right side.": _(
        "The points change the shape by {} standard deviations of the shape model; more than {} is unusual for {} "
        "points. Check that every point is on its right side."
    ),
    "The graphics card has not enough free memory: it was computed on the processor, which takes longer.": _(
        "The graphics card has not enough free memory: it was computed on the processor, which takes longer."
    ),
}
_NUMBER = r"(\d+(?:\.\d+)?)"


def translated(warning: str) -> str:
    """A warning of the library as the user reads it; sentences that are not known stay as they are."""
    for known, sentence in _SENTENCES.items():
        numbered = re.escape(known).replace(r"\{\}", _NUMBER)
        warning = re.sub(numbered, lambda found, sentence=sentence: sentence.format(*found.groups()), warning)
    return warning
