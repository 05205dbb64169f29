import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier

from training.__main__ import main
from training.search import digits
from training.search.curve_table import load_curves
from training.search.digits import RESOURCES, STORED, _curves, _digits, _step, describe, digits_table
from training.search.spaces import digits_600


def test_the_stored_table_holds_600_curves_of_real_trainings():
    table = digits_table()
    assert table.space == digits_600() and table.loss.shape == table.error.shape == (600, RESOURCES)
    assert STORED.stat().st_size < 1_000_000
    trained = table.final[~np.isnan(table.final)]
    assert len(trained) > 500 and len(np.unique(trained)) > 450
    best = np.nanargmin(table.final)
    assert table.error[best, -1] < 0.08 and table.loss[best, -1] < table.loss[best, 0]
    assert describe(table).startswith("600 models, 27 epochs each")


def test_some_of_the_stored_curves_come_out_again():
    table = digits_table()
    network = {"width": 4, "batch": 32, "layers": 1, "optimiser": "adam"}  # the first that are trained
    alike = [n for n, c in enumerate(table.space.enumerate()) if c | network == c]
    rates = [table.space.enumerate()[n]["learning_rate"] for n in alike]
    loss, error = _curves(rates, network, _digits(), seed=0)
    np.testing.assert_allclose(loss[:5, :9], table.loss[alike][:5, :9], rtol=0.02)  # half precision, another processor
    np.testing.assert_allclose(error[:5, :9], table.error[alike][:5, :9], atol=0.02)


def test_networks_that_are_trained_side_by_side_do_not_see_each_other():
    network = {"width": 4, "batch": 300, "layers": 2, "optimiser": "sgd"}
    together, _ = _curves([0.01, 1e6], network, _digits(), seed=0)
    other, _ = _curves([0.01, 0.1], network, _digits(), seed=0)
    np.testing.assert_allclose(together[0], other[0], rtol=1e-5)
    assert np.isnan(together[1, -1]) or together[1, -1] > 2  # diverged, and took nothing with it


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_steps_are_those_of_torch(optimiser):
    weight = torch.tensor([[1.0, -2.0]], requires_grad=True)
    ours, moment = weight.detach().clone(), torch.zeros(2, 1, 2)
    kinds = {"sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, 0.1)}
    theirs = kinds[optimiser]([weight])
    for step in range(1, 6):
        theirs.zero_grad()
        (weight**4).sum().backward()
        theirs.step()
        ours -= 0.1 * _step(optimiser, 4 * ours**3, moment, step)
    torch.testing.assert_close(ours, weight.detach())


def test_the_best_is_about_as_good_as_scikit_learns_own_network():
    images, labels, held_out, truth = (tensor.numpy() for tensor in _digits())
    network = MLPClassifier((64,), batch_size=32, learning_rate_init=0.003, max_iter=RESOURCES, random_state=0)
    with pytest.warns(match="converged"):
        network.fit(images, labels)
    best = digits_table().error[:, -1]
    assert abs(np.nanmin(best) - (1 - network.score(held_out, truth))) < 0.03


def test_the_command_stores_what_was_trained(tmp_path, monkeypatch, capsys):
    table = digits_table()
    monkeypatch.setattr(digits, "train_digits", lambda seed, job: table)
    assert main(["prepare", "digits600", "--out", str(tmp_path / "t.npz")]) == 0
    assert capsys.readouterr().out.strip() == describe(table)
    np.testing.assert_array_equal(load_curves(tmp_path / "t.npz").loss, table.loss)
