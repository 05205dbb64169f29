"""What the user chooses from in the panel; `label` is what is shown there."""

import enum

from slicer.i18n import tr as _


class Method(enum.Enum):
    """How the kidney is found."""

    DEFORMATION = "deformation"
    UNET = "unet"
    CLASSICAL = "classical"

    def label(self):
        return {
            Method.DEFORMATION: _("Deformed template (recommended)"),
            Method.UNET: _("Network alone, no template"),
            Method.CLASSICAL: _("Classical, from a seed point"),
        }[self]


class Population(enum.Enum):
    """Whose kidney it is."""

    AUTO = "auto"
    ADULT = "adult"
    CHILD = "child"

    def label(self):
        return {
            Population.AUTO: _("Found from the volume"),
            Population.ADULT: _("Adult"),
            Population.CHILD: _("Child"),
        }[self]

    @staticmethod
    def told(used, asked):
        """The line below a result for which these were used and asked for; "" for one of no population."""
        if not used:
            return ""
        text = _("Population: {0} (found)") if asked == Population.AUTO.value else _("Population: {0}")
        return text.format(Population(used).label())


class Side(enum.Enum):
    """Which kidney it is; the image does not tell."""

    UNKNOWN = ""
    LEFT = "left"
    RIGHT = "right"

    def label(self):
        return {Side.UNKNOWN: _("Not stated"), Side.LEFT: _("Left kidney"), Side.RIGHT: _("Right kidney")}[self]
