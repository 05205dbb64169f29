import csv

import numpy as np
import pytest
from PIL import Image

from training.experiments.figure_2_15 import describe, write

from .network_study import study


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study") / "s.journal", 40)


def test_the_figure_has_something_in_both_panels_and_its_numbers_beside_it(record, tmp_path):
    picture, table, text = write(record, tmp_path / "new")
    dark = np.asarray(Image.open(picture).convert("L")) < 200
    height, width = dark.shape
    inside = dark[int(0.25 * height) : int(0.8 * height)]
    assert inside[:, int(0.15 * width) : int(0.48 * width)].any() and inside[:, int(0.56 * width) :].any()
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len({o.trial for o in record.observations if not o.failed})
    assert f"{record.best[0].loss:.4f}" in text.read_text()


def test_what_it_says_are_the_counts_and_the_best_of_the_study(record):
    said = describe(record)
    assert f"40 trainings of {len({o.trial for o in record.observations})} networks" in said
    assert f"{len(record.best)} to the end, {len(record.failures)} failed" in said
    assert f"loss {min(record.losses):.4f}" in said and f"median {np.median(record.losses):.4f}" in said


def test_a_study_without_a_full_training_is_waited_for(tmp_path):
    with pytest.raises(ValueError, match="no full training yet"):
        write(study(tmp_path / "s.journal", 3), tmp_path)
