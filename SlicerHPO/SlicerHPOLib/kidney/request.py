"""What may be asked of a segmenter by name: how the kidney is found, and in whom. Imports nothing, so that a command's
help need not wait."""

METHODS = ("deformation", "unet", "classical")
AUTO, ADULT, CHILD = "auto", "adult", "child"
POPULATIONS = (AUTO, ADULT, CHILD)  # auto: the model tells from the volume


def why_not(method: str, population: str) -> str:
    """Why a method cannot be asked for this population, or ""."""
    if method not in METHODS:
        return f"Unknown method {method!r}; known are {', '.join(METHODS)}."
    if population not in POPULATIONS:
        return f"Unknown population {population!r}; known are {', '.join(POPULATIONS)}."
    if method == "classical" and population != AUTO:
        return f"The classical method knows no populations: leave the population at {AUTO!r}."
    return ""
