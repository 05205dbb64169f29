import csv

import numpy as np
import pytest
from SlicerHPOLib.kidney.unet import LIGHT, REFERENCE, UNet, UNetParameters

from training.experiments import few_shot, figure_3_7, figure_3_9, populations
from training.experiments.populations import CHOICE, SLOW, TEST, Populations, Scale
from training.experiments.table_3_1 import GATED, GUARDED, STRATEGIES, describe, gate_of, table_3_1
from training.kidney.transfer import EVERYWHERE, REMEMBERED, added_weights

NETWORK = UNetParameters(base=2, levels=2, strided=True, dropout=0.0, instance=True)
TINY = Scale(
    adults=8, children=5, choice=1, test=2, seeds=1, steps=8, transfer_steps=2, batch=2, transfer_batch=2, pool=4,
    augmentation=1.0, network=NETWORK,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("table")


@pytest.fixture(scope="module")
def rows(folder):
    return table_3_1(folder, TINY)


def test_every_row_is_measured_and_a_second_call_trains_nothing(folder, rows, monkeypatch):
    expected = ["adults", "children", *STRATEGIES, "joint"]
    for gated in ("geometric + intensity", REMEMBERED):
        expected.insert(expected.index(gated) + 1, gated + GATED)
    by_name = {row.strategy: row for row in rows}
    assert list(by_name) == expected
    assert all(0 <= row.dice_adults <= 1 and 0 <= row.dice_children <= 1 for row in rows)
    assert all(by_name[name].epoch_s > 0 for name in STRATEGIES if not name.endswith((GUARDED, SLOW)))
    assert by_name["fine-tuning"].added == by_name["adults"].added == 0
    assert by_name[REMEMBERED].added == 0 < by_name[REMEMBERED + GATED].added < 300_000
    assert 0 < by_name["geometric"].added < by_name["geometric + intensity"].added
    with (folder / "table-3.1.csv").open(newline="") as file:
        assert [row["strategy"] for row in csv.DictReader(file)] == list(by_name)
    monkeypatch.setattr(populations, "dice_of", None)
    again = table_3_1(folder, TINY)
    np.testing.assert_equal([row.dice_children for row in again], [row.dice_children for row in rows])
    shown = describe(rows)
    assert shown == (folder / "table-3.1.md").read_text().rstrip("\n") and "| 0.74 | 0.73 |" in shown


@pytest.mark.usefixtures("rows")
def test_gated_answers_are_those_of_the_network_or_of_its_layers(folder):
    data = Populations(folder, TINY)
    found = gate_of(data, data.children(0))
    assert {name: len(chosen) for name, chosen in found.items()} == {"adult": 2, "child": 2}


@pytest.mark.usefixtures("rows")
def test_figures_share_the_trainings_of_the_table(folder, monkeypatch):
    text = figure_3_9.draw(folder, TINY)
    assert text.count("\n") == len(STRATEGIES) + 6 and (folder / "figure-3.9.png").stat().st_size > 10_000
    text = figure_3_7.draw(folder, TINY)
    chosen, unseen = (Populations(folder, TINY, subjects=kind).unseen for kind in (CHOICE, TEST))
    assert (len(chosen), len(unseen)) == (2, 4)
    assert not any(np.array_equal(one, other) for one in chosen.images for other in unseen.images)
    assert "| up to 1 |" in text and "| from 7 |" in text and (folder / "figure-3.7.png").exists()
    text = few_shot.draw(folder, TINY)
    assert text.count("| 2 |") == text.count("| 5 |") == 2 and (folder / "few-shot.png").exists()
    monkeypatch.setattr(populations, "dice_of", None)
    assert few_shot.draw(folder, TINY) == text


@pytest.mark.parametrize("network", [LIGHT, REFERENCE])
def test_layers_add_few_weights_and_fixed_convolutions_many(network):
    adapted = added_weights(UNet(network), "geometric + intensity" + EVERYWHERE)
    assert 0 < adapted < 300_000 < added_weights(UNet(network), "fixed convolutions")
