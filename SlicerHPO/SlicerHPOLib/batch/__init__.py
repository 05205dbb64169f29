"""Many volumes: what the command `slicerhpo` does, for Python.

    from SlicerHPOLib import batch
    results = batch.classify(["scans/"], csv="regions.csv", skip_done=True)
    results = batch.segment(["kidneys/"], "masks/", report="measures.csv", skip_done=True)

Everything that can be known to be wrong before the work starts stops it before it starts (`prepare` of each task).
After that no volume stops the others: one that cannot be answered gives a result with an error. The outputs hold all
finished results at any time, so an interrupted run loses nothing but the volume it was at.

`fieldofview` and `kidney` are the two tasks; `volumes`, `outputs` and `runner` are what they share.
"""

from . import fieldofview, kidney
from .fieldofview import check_fixed, classify
from .kidney import segment
from .volumes import BatchError

__all__ = ["BatchError", "check_fixed", "classify", "fieldofview", "kidney", "segment"]
