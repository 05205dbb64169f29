"""What may be asked of a segmenter by name: how the kidney is found, and in whom. Imports next to nothing, so that a
command's help need not wait."""

from ..words import _

METHODS = ("deformation", "unet", "classical")
AUTO, ADULT, CHILD = "auto", "adult", "child"
POPULATIONS = (AUTO, ADULT, CHILD)  # auto: the model tells from the volume


def why_not(method: str, population: str) -> str:
    """Why a method cannot be asked for this population, or ""."""
    if method not in METHODS:
        return _("Unknown method {method}; known are {known}.").format(method=repr(method), known=", ".join(METHODS))
    if population not in POPULATIONS:
        return _("Unknown population {population}; known are {known}.").format(
            population=repr(population), known=", ".join(POPULATIONS)
        )
    if method == "classical" and population != AUTO:
        return _("The classical method knows no populations: leave the population at {auto}.").format(auto=repr(AUTO))
    return ""
