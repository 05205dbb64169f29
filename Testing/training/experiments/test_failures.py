import numpy as np
import pytest

from training.__main__ import main
from training.experiments.failures import failing_table, losses, memory
from training.experiments.sample_efficiency import search, source
from training.search.bayesian import Bayesian
from training.search.spaces import table_2_7


@pytest.fixture(scope="module")
def table():
    return failing_table()


def test_a_quarter_of_the_networks_and_half_of_the_best_cannot_be_trained(table):
    failed = np.isnan(table.final)
    best = np.argsort(losses(table.space.enumerate()))[:343]
    assert len(failed) == 34_300
    assert 0.22 < failed.mean() < 0.28
    assert 0.45 < failed[best].mean() < 0.55


def test_memory_is_that_of_the_outputs_and_their_gradients():
    network = {"blocks": 2, "layers": 3, "filters": 8, "batch": 16}
    assert memory([network])[0] == pytest.approx(16 * 3 * 8 * (96**2 + 48**2) * 2 * 4)


def test_the_noise_of_a_network_is_fixed():
    configurations = table_2_7(learning_rates=7).enumerate()
    np.testing.assert_array_equal(losses(configurations), losses(configurations))


def test_a_search_that_learns_from_failures_has_far_fewer_than_the_source_which_leaves_them_out(table):
    def failed(make):
        return sum(search(table, make(table.space, seed=seed), 60)[1] for seed in range(3))

    assert failed(Bayesian) < failed(source) / 2


def test_the_command_refuses_a_method_it_does_not_compare(tmp_path, capsys):
    assert main(["reproduce", "failures", "--methods", "SMAC", "--out", str(tmp_path)]) == 2
    assert "there are source, Bayesian, Optuna TPE" in capsys.readouterr().err
