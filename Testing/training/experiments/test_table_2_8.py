import csv

import numpy as np
import pytest

from training.experiments.table_2_8 import describe, table_2_8, write
from training.fieldofview.objective import limits
from training.search.feasibility import within

from .network_study import BASE, LIMITS, study


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study") / "s.journal", 90)


@pytest.fixture(scope="module")
def rows(record):
    return table_2_8(record)


def of(rows, parameter):
    return {r.value: r for r in rows if r.parameter == parameter}


def test_there_is_a_row_for_each_value_and_each_counts_every_network_once(record, rows):
    assert len(rows) == 5 + 5 + 7 + 2 + 2 + 7 + 7
    trained = {o.trial for o in record.observations} - {o.trial for o in record.failures}
    for name in record.space.names:
        assert sum(r.tried for r in of(rows, name).values()) == len(trained)
        assert sum(r.full for r in of(rows, name).values()) == len(record.best)
        assert np.nanmin([r.best for r in of(rows, name).values()]) == record.best[0].loss


def test_what_makes_the_loss_is_found_and_what_does_not_is_flat(rows):
    rates = of(rows, "learning_rate")
    assert min(rates, key=lambda v: rates[v].predicted) == 1e-3
    assert rates[1e-7].predicted > 1.4 * rates[1e-3].predicted  # 0.8 more by the formula
    filters = of(rows, "filters")
    assert filters[16].predicted < filters[2].predicted
    batches = [r.predicted for r in of(rows, "batch").values()]
    assert max(batches) < 1.25 * min(batches)


def test_values_that_no_allowed_configuration_has_are_not_predicted(record, rows):
    everything = record.space.enumerate()
    kept = within(limits(BASE, *LIMITS.values()), everything)
    reached = {c["filters"] for c, keeps in zip(everything, kept, strict=True) if keeps}
    assert {v for v, r in of(rows, "filters").items() if np.isfinite(r.predicted)} == reached


def test_the_table_is_written_as_numbers_text_and_picture(rows, tmp_path):
    picture, table, text = write(rows, tmp_path / "new")
    assert picture.stat().st_size > 10_000
    with table.open(newline="") as file:
        assert [float(r["predicted"]) for r in csv.DictReader(file)] == pytest.approx(
            [r.predicted for r in rows], nan_ok=True
        )
    assert "| learning_rate | **0.001** |" in text.read_text() == describe(rows) + "\n"


def test_without_full_trainings_nothing_is_predicted(tmp_path):
    rows = table_2_8(study(tmp_path / "s.journal", 3))
    assert all(np.isnan(r.predicted) and np.isnan(r.best) for r in rows)
    assert sum(r.tried for r in of(rows, "kernel").values()) <= 3
    assert write(rows, tmp_path)[0].is_file()
