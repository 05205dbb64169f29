"""Columns of numbers and words in table nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support


def fill_table(node: slicer.vtkMRMLTableNode, columns: Mapping[str, Sequence | np.ndarray]) -> None:
    """Replaces what a table holds: a column by name, of text, of whole numbers or of numbers with a fraction.

    The user can read and copy it, but not type over it.
    """
    table = vtk.vtkTable()
    for name, values in columns.items():
        values = np.asarray(values)
        if values.dtype.kind in "US" or values.dtype.kind == "O":
            column = vtk.vtkStringArray()
            for value in values:
                column.InsertNextValue(str(value))
        else:
            wanted = np.int32 if values.dtype.kind in "iub" else np.float64
            column = numpy_support.numpy_to_vtk(np.ascontiguousarray(values, wanted), deep=True)
        column.SetName(name)
        table.AddColumn(column)
    node.SetAndObserveTable(table)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
