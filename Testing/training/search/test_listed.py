"""A space of listed configurations: it holds those and no others, whatever a method does with it."""

import json

import numpy as np
import pytest

from training.search.bayesian import Bayesian
from training.search.curve_table import CurveTable, load_curves, save_curves
from training.search.dehb import DEHB
from training.search.hyperband import Hyperband
from training.search.listed import ListedSpace
from training.search.random_search import RandomSearch
from training.search.space import Categorical, Continuous, Space

PARAMETERS = (Continuous("rate", 1e-4, 1, log=True), Continuous("decay", 0, 1), Categorical("kind", ("x", "y")))
SPACE = ListedSpace(PARAMETERS, tuple(Space(PARAMETERS).sample(np.random.default_rng(0), 40)))


def a_table():
    x = SPACE.encode(SPACE.enumerate())
    loss = ((x[:, :2] - 0.4) ** 2).sum(1) + 0.1 * x[:, 2] + 0.01
    return CurveTable(SPACE, loss[:, None] * np.array([3.0, 2.0, 1.0]), np.zeros((40, 3)), np.ones(40))


def test_it_lists_draws_and_decodes_only_its_own():
    own = {SPACE.key(c) for c in SPACE.listed}
    assert SPACE.size == len(own) == 40 and list(SPACE.listed) == SPACE.enumerate()
    rng = np.random.default_rng(1)
    found = SPACE.sample(rng, 50) + SPACE.decode(rng.random((50, SPACE.dimension))) + SPACE.neighbours(SPACE.listed[3])
    assert {SPACE.key(c) for c in found} <= own
    assert SPACE.listed[3] not in SPACE.neighbours(SPACE.listed[3])


def test_a_row_decodes_to_the_nearest():
    rows = SPACE.encode(SPACE.listed)
    assert SPACE.decode(rows) == list(SPACE.listed)
    assert SPACE.decode(rows + 1e-6) == list(SPACE.listed)


def test_others_are_no_configurations_of_it():
    other = SPACE.listed[0] | {"decay": SPACE.listed[0]["decay"] / 2}
    with pytest.raises(ValueError, match="none of the 40 listed"):
        SPACE.check(other)
    SPACE.everything.check(other)


@pytest.mark.parametrize(
    "make",
    [RandomSearch, Bayesian, lambda space, seed: Hyperband(space, 3, seed=seed), lambda s, seed: DEHB(s, 3, seed=seed)],
)
def test_each_method_searches_it_to_the_end(make):
    seen = [o for _, o in a_table().replay(make(SPACE, 0), budget=100)]
    assert len({SPACE.key(o.configuration) for o in seen}) >= 30


def test_it_comes_back_from_a_description_and_with_a_table(tmp_path):
    assert ListedSpace.from_json(json.loads(json.dumps(SPACE.as_json()))) == SPACE
    save_curves(a_table(), tmp_path / "t.npz")
    assert load_curves(tmp_path / "t.npz").space == SPACE


def test_lists_without_sense_are_refused():
    with pytest.raises(ValueError, match="empty"):
        ListedSpace(PARAMETERS, ())
    with pytest.raises(ValueError, match="twice"):
        ListedSpace(PARAMETERS, SPACE.listed[:1] * 2)
    with pytest.raises(ValueError, match="must have a value"):
        ListedSpace(PARAMETERS, ({"rate": 0.1, "kind": "x"},))
