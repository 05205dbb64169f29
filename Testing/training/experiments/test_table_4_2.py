import csv

import numpy as np
import pytest
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.unet import UNetParameters

from training.experiments import table_4_2
from training.experiments.table_4_2 import CLASSICAL, Scale, describe

TINY = Scale(
    adults=8, children=4, test=1, steps=1, batch=1, pool=2, encoder=UNetParameters(base=2, levels=2, strided=True)
)


def a_template():
    axis = (np.arange(20) - 9.5) * 8.0
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    phi = (1 - np.sqrt((x / 28) ** 2 + (y / 24) ** 2 + (z / 55) ** 2)) * 24
    return Template(phi, np.zeros((0, 20, 20, 20)), np.zeros(0), 8.0)


def test_the_table_has_every_method_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(table_4_2, "shipped_template", lambda workers: a_template())
    simulate = table_4_2.simulate
    monkeypatch.setattr(
        table_4_2, "simulate", lambda out, **given: simulate(out, **given, size=24, spacings_mm=(12.0,), workers=1)
    )
    rows = table_4_2.table_4_2(tmp_path, TINY)
    assert [row.method for row in rows] == [*table_4_2.plans(TINY, 0), CLASSICAL]
    assert all(0 <= row.dice_adults <= 1 and 0 <= row.dice_children <= 1 for row in rows)
    assert np.isnan(rows[0].least_jacobian) and rows[-1].least_jacobian > 0
    assert rows[0].source_adults == pytest.approx(0.81)
    with (tmp_path / "table-4.2.csv").open(newline="") as file:
        assert [row["method"] for row in csv.DictReader(file)] == [row.method for row in rows]
    assert (tmp_path / "table-4.2.md").read_text().count("\n") == len(rows) + 2 == describe(rows).count("\n") + 1

    for name in ("_network_row", "_classical_row"):  # what is there is not computed again
        monkeypatch.setattr(table_4_2, name, lambda *_: pytest.fail("computed again"))
    again = table_4_2.table_4_2(tmp_path, TINY)
    np.testing.assert_equal([vars(row) for row in again], [vars(row) for row in rows])
