import numpy as np
import pytest
from scipy.optimize import minimize

from training.__main__ import main
from training.experiments.continuous import EVALUATIONS, FUNCTIONS, THEIRS, continuous, describe, regrets
from training.search.random_search import RandomSearch

# where the literature has them
MINIMA = {
    "Branin": [(-np.pi, 12.275), (np.pi, 2.275), (9.42478, 2.475)],
    "Hartmann-6": [(0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_minima_are_those_of_the_literature_and_nothing_is_lower(name):
    function = FUNCTIONS[name]
    names = function.space.names

    def loss(place):
        return function.loss(dict(zip(names, place, strict=True)))

    for place in MINIMA[name]:
        assert loss(place) == pytest.approx(function.least, abs=1e-5)
    bounds = [(p.low, p.high) for p in function.space.parameters]
    starts = [list(c.values()) for c in function.space.sample(np.random.default_rng(0), 30)]
    found = min(minimize(loss, start, bounds=bounds, method="L-BFGS-B").fun for start in starts)
    assert found == pytest.approx(function.least, abs=1e-6)


def test_regrets_are_those_of_the_best_so_far():
    found = regrets(FUNCTIONS["Branin"], RandomSearch(FUNCTIONS["Branin"].space, 0), 30)
    assert (np.diff(found) <= 0).all() and 0 < found[-1] < found[0]


def test_searches_are_kept_as_they_finish_and_not_done_again(tmp_path):
    first = continuous(tmp_path, range(2), {"random": RandomSearch})

    def refuse(space, seed):
        raise AssertionError("this was done")

    again = continuous(tmp_path, range(2), {"random": refuse})
    assert again.keys() == first.keys() == {(name, "random", seed) for name in FUNCTIONS for seed in range(2)}
    assert all(again[key] == pytest.approx(first[key], rel=1e-5) for key in first)


def test_the_means_are_geometric_and_ours_is_compared_seed_by_seed():
    found = {("Branin", "Bayesian", s): np.full(3, r) for s, r in enumerate((1e-2, 1e-4))}
    found |= {("Branin", "Optuna GP", s): np.full(3, r) for s, r in enumerate((1e-1, 1e-3, 1e-3))}
    lines = describe(found).splitlines()
    assert lines[0] == "| Branin: regret after | 20 | 40 | 60 | seeds |"
    assert lines[2].startswith("| Bayesian | 0.001 (×/÷ ")
    assert lines[-1] == "after 60: Bayesian's is that of Optuna GP times 0.1 (×/÷ 1)"


@pytest.mark.parametrize("name", THEIRS)
def test_packages_search_the_functions_too(name):
    function = FUNCTIONS["Branin"]
    assert regrets(function, THEIRS[name](function.space, 0), 12)[-1] < 60


def test_the_command_prints_a_table_for_each_function(tmp_path, capsys):
    assert main(["reproduce", "continuous", "--methods", "random", "--runs", "2", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert all(f"| {name}: regret after | {EVALUATIONS[0]} |" in text for name in FUNCTIONS)
