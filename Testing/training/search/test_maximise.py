"""Local search for the best configuration of a space that cannot be listed."""

import numpy as np

from training.search.maximise import maximise
from training.search.space import Categorical, Continuous, Integer, Space

SPACE = Space(
    (Continuous("a", 0, 1), Continuous("b", 1e-3, 1, log=True), Integer("c", 1, 100), Categorical("d", ("x", "y")))
)


def score(configurations):
    return np.array(
        [
            -((c["a"] - 0.42) ** 2) - (np.log10(c["b"]) + 1.3) ** 2 - ((c["c"] - 37) / 50) ** 2 - (c["d"] == "x")
            for c in configurations
        ]
    )


def test_the_top_of_a_hill_is_found_far_more_closely_than_by_draws():
    for seed in range(3):
        found = maximise(score, SPACE, [], np.random.default_rng(seed))
        drawn = score(SPACE.sample(np.random.default_rng(seed), 1000)).max()
        assert score([found])[0] > 0.2 * drawn  # both are negative, 0 is the top
        assert found["d"] == "y"


def test_no_neighbour_is_better():
    found = maximise(score, SPACE, [], np.random.default_rng(0))
    assert score(SPACE.neighbours(found)).max() <= score([found])[0]


def test_a_known_configuration_on_a_narrow_peak_is_climbed_from():
    peak = {"a": 0.5, "b": 0.1, "c": 50, "d": "x"}

    def narrow(configurations):
        return np.array([float(c == peak) + 0.5 * (abs(c["c"] - 50) == 1 and c["a"] == 0.5) for c in configurations])

    assert maximise(narrow, SPACE, [peak | {"c": 51}], np.random.default_rng(0)) == peak


def test_beside_what_was_tried_already_a_narrow_top_is_found():
    space = Space(tuple(Continuous(f"x{n}", 0, 1) for n in range(6)))
    tried = {f"x{n}": 0.5 for n in range(6)}
    top = np.full(6, 0.5) + 0.03 * np.eye(6)[2]

    def gain(configurations):  # as is expected: a top beside what is known, where nothing is gained, and far corners
        far = ((space.encode(configurations) - top) ** 2).sum(1)
        return np.where([c == tried for c in configurations], -np.inf, np.exp(-far / 0.02**2) + 0.1 * far)

    for seed in range(3):
        found = maximise(gain, space, [tried], np.random.default_rng(seed))
        assert gain([found])[0] > 0.99


def test_what_must_not_be_chosen_is_not_chosen():
    def limited(configurations):
        return np.where([c["c"] <= 20 for c in configurations], score(configurations), -np.inf)

    assert maximise(limited, SPACE, [], np.random.default_rng(0))["c"] == 20


def test_continuous_parameters_come_to_the_top_itself():
    def tilted(configurations):  # a narrow ridge across the axes: no step along one of them goes up for long
        x = np.array([[c["a"], (np.log10(c["b"]) + 3) / 3] for c in configurations]) - [0.7123, 0.4321]
        return (
            -300 * (x[:, 0] + x[:, 1]) ** 2
            - (x[:, 0] - x[:, 1]) ** 2
            - np.array([c["d"] == "x" for c in configurations])
        )

    for seed in range(3):
        found = maximise(tilted, SPACE, [], np.random.default_rng(seed))
        assert tilted([found])[0] > -1e-6 and found["d"] == "y"


def test_a_parameter_without_meaning_stays_away():
    space = Space((Categorical("d", ("x", "y")), Continuous("a", 0, 1, only_if=("d", ("x",))), Continuous("b", 0, 1)))

    def flat(configurations):
        return np.array([-((c["b"] - 0.3) ** 2) - (c["d"] == "x") for c in configurations])

    found = maximise(flat, space, [], np.random.default_rng(0))
    assert found == {"d": "y", "b": found["b"]} and abs(found["b"] - 0.3) < 1e-4
