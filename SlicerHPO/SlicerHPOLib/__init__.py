"""SlicerHPOLib: what a deployed model needs to run, without Slicer, Qt or any training library."""

__version__ = "0.1.0"
