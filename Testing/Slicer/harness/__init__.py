"""A stand-in for the parts of 3D Slicer that a scripted module touches: real MRML and VTK, PySide6, the rest here.

What is not here is an error that names it. `install.py` puts the parts together; see `Testing/Slicer/README.md`.
"""
