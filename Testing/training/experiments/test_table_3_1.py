import csv

import numpy as np
import pytest
from SlicerHPOLib.kidney.unet import LIGHT, REFERENCE, UNet, UNetParameters

from training.experiments import table_3_1 as module
from training.experiments.table_3_1 import SCALES, STRATEGIES, Scale, added_weights, describe, table_3_1

TINY = Scale(8, 5, 2, 8, 2, 4, 1, UNetParameters(base=2, levels=2, strided=True, dropout=0.0, instance=True))


def test_every_row_is_measured_and_a_second_call_trains_nothing(tmp_path, monkeypatch):
    rows = table_3_1(tmp_path, TINY)
    assert [row.strategy for row in rows] == ["adults", "children", "joint", *STRATEGIES]
    for row in rows:
        assert 0 <= row.dice_adults <= 1 and 0 <= row.dice_children <= 1 and row.epoch_s > 0
    by_name = {row.strategy: row for row in rows}
    assert by_name["fine-tuning"].added == by_name["adults"].added == 0
    assert 0 < by_name["geometric"].added < by_name["geometric + intensity"].added
    with (tmp_path / "table-3.1.csv").open(newline="") as file:
        assert [row["strategy"] for row in csv.DictReader(file)] == list(by_name)
    monkeypatch.setattr(module, "dice_of", None)
    again = table_3_1(tmp_path, TINY)
    np.testing.assert_equal([row.dice_children for row in again], [row.dice_children for row in rows])
    shown = describe(rows)
    assert shown == (tmp_path / "table-3.1.md").read_text().rstrip("\n") and "| 0.74 | 0.73 |" in shown


@pytest.mark.parametrize("network", [LIGHT, REFERENCE])
def test_layers_add_few_weights_and_fixed_convolutions_many(network):
    adapted = added_weights(UNet(network), "geometric + intensity")
    assert 0 < adapted < 300_000 < added_weights(UNet(network), "fixed convolutions")
    assert {scale.network for scale in SCALES.values()} == {LIGHT, REFERENCE}
