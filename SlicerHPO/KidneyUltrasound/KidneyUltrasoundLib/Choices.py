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


class Side(enum.Enum):
    """Which kidney it is; the image does not tell."""

    UNKNOWN = ""
    LEFT = "left"
    RIGHT = "right"

    def label(self):
        return {Side.UNKNOWN: _("Not stated"), Side.LEFT: _("Left kidney"), Side.RIGHT: _("Right kidney")}[self]
