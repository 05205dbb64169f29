import csv

import pytest
from SlicerHPOLib.fieldofview.network import build, weight_count

from training.experiments.table_2_6 import describe, networks, write
from training.fieldofview.objective import plan_of
from training.search.random_search import RandomSearch
from training.search.report import read
from training.search.space import Continuous, Space
from training.search.study import Study

from .network_study import BASE, study


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study") / "s.journal", 40)


def test_every_network_that_did_not_fail_is_listed_once_with_its_longest_training(record):
    found = networks(record)
    failed = {o.trial for o in record.observations if o.failed}
    assert failed and {n.trial for n in found} == {o.trial for o in record.observations} - failed
    assert len(found) == len({n.trial for n in found})
    for n in found:
        results = [o for o in record.observations if o.trial == n.trial]
        assert (n.loss, n.resource) == max(((o.loss, o.resource) for o in results), key=lambda r: r[1])
        assert n.seconds == pytest.approx(sum(o.cost_s for o in results))


def test_full_trainings_come_first_and_the_best_of_them_is_the_best_of_the_study(record):
    found = networks(record)
    full = [n for n in found if n.full]
    assert found[: len(full)] == full == sorted(full, key=lambda n: n.loss)
    assert full[0].trial == record.best[0].trial
    assert all(n.resource == 9 for n in full) and all(n.resource < 9 for n in found[len(full) :])


def test_weights_are_those_of_the_network_that_was_trained(record):
    for n in networks(record)[:3]:
        assert n.weights == weight_count(build(plan_of(n.configuration, BASE).architecture))


def test_the_table_is_written_whole_and_its_best_rows_are_printed(record, tmp_path):
    found = networks(record)
    table, text = write(found, tmp_path / "new")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [n.loss for n in found]
    assert rows[0]["learning_rate"] == str(found[0].configuration["learning_rate"])
    lines = describe(found, 2).splitlines()
    assert len(lines) == 4 and f"{found[0].loss:.4f}" in lines[2] and f"{found[1].loss:.4f}" in lines[3]
    assert text.read_text().startswith("| trial | loss | blocks |")


def test_before_the_first_full_training_it_says_so(tmp_path):
    assert describe(networks(study(tmp_path / "s.journal", 3))) == "No network was trained to the end yet."


def test_a_study_of_something_else_is_refused(tmp_path):
    line = Space((Continuous("x", 0, 1),))
    Study(tmp_path / "s.journal", "s", line, RandomSearch(line), {"seed": 0}).run(lambda s: s.configuration["x"], 2)
    with pytest.raises(ValueError, match="search fieldofview"):
        networks(read(tmp_path / "s.journal"))
