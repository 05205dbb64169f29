"""Runs the modules' own tests in a real Slicer, in its main window, each in a panel that was opened as a user opens it.

    Slicer --testing --no-splash --additional-module-paths SlicerHPO/MRFieldOfView SlicerHPO/KidneyUltrasound \
           --python-script Testing/Slicer/run_in_slicer.py [MODULE ...]

Slicer ends with status 0 if all passed, with 1 if one failed, with 77, which test runners count as skipped, if one
was skipped: where PyTorch or another package is not installed. So does a Python that is no Slicer; both say why.
"""

import sys
import traceback
import unittest

MODULES = ("MRFieldOfView", "KidneyUltrasound")
SKIPPED = 77


def main(names: list[str]) -> int:
    """Tests the modules of these names, or all; the status that Slicer ends with."""
    import slicer

    failed = skipped = False
    for name in names or MODULES:
        try:
            slicer.mrmlScene.Clear(0)
            if slicer.util.mainWindow():
                slicer.util.selectModule(name)
            slicer.util.getModuleWidget(name)
            slicer.selfTests[name]()
            print(f"{name}: passed", flush=True)
        except unittest.SkipTest as reason:
            print(f"{name}: skipped: {reason}", flush=True)
            skipped = True
        except Exception:
            traceback.print_exc()
            print(f"{name}: failed", flush=True)
            failed = True
    return 1 if failed else SKIPPED if skipped else 0


def is_slicer() -> bool:
    """Whether this Python runs within Slicer."""
    try:
        import slicer
    except ImportError:
        return False
    return type(getattr(slicer, "app", None)).__name__ == "qSlicerApplication"


if __name__ == "__main__":
    if not is_slicer():
        print("Skipped: this Python does not run within Slicer.")
        sys.exit(SKIPPED)
    import slicer

    slicer.util.exit(main(sys.argv[1:]))
