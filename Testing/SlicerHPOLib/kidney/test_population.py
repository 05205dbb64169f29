from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from SlicerHPOLib.kidney.deformation import DeformationNetwork, DeformationParameters, network_of
from SlicerHPOLib.kidney.population import Gate, sizes
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.unet import UNetParameters

LOOK = UNetParameters(base=2, levels=2, strided=True, dropout=0.0, instance=True)
PLAN = DeformationParameters(LOOK, LOOK, spacing_mm=6.0, lattice_mm=12.0, sigma_mm=14.0, hidden=8, adapted=True)
BALL = 6.0 * (8 - np.linalg.norm(np.indices((21,) * 3) - 10.0, axis=0))
TEMPLATE = Template(BALL, 0.1 * BALL[None], np.ones(1), 6.0)


@pytest.fixture
def network():
    """Whose second look says something, as after training."""
    torch.manual_seed(0)
    network = DeformationNetwork(PLAN, TEMPLATE).eval()
    for parameter in network.second_look.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return network


def answer(network):
    with torch.inference_mode():
        return network(torch.rand(1, 1, 24, 24, 24, generator=torch.Generator().manual_seed(1)))


def test_children_are_answered_as_adults_until_their_layers_have_learned(network):
    adult, child = answer(network), answer(network.for_population("child"))
    for name in ("phi", "scores", "pose", "modes", "velocity", "quality"):
        assert torch.equal(getattr(adult, name), getattr(child, name)), name


@pytest.mark.parametrize("part", ["intensity", "head", "template_change"])
def test_each_of_the_layers_changes_what_is_said_of_children_and_nothing_of_adults(network, part):
    before = answer(network)
    generator = torch.Generator().manual_seed(2)
    for name, parameter in network.child.named_parameters():
        if name.startswith(part):
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    child, adult = answer(network.for_population("child")), answer(network.for_population("adult"))
    assert torch.equal(adult.phi, before.phi) and torch.equal(adult.scores, before.scores)
    assert not torch.equal(child.phi, before.phi)
    assert torch.equal(child.scores, before.scores)  # the map is that of all


def test_a_network_of_all_alike_has_no_populations(network):
    alike = DeformationNetwork(replace(PLAN, adapted=False), TEMPLATE)
    assert alike.populations == () and network.populations == ("adult", "child")
    for name, of in (("adult", alike), ("infant", network)):
        with pytest.raises(KeyError, match=name):
            of.for_population(name)
    again = network_of(PLAN, network.state_dict())
    assert torch.equal(answer(again.for_population("child")).phi, answer(network).phi)


def test_a_gate_that_knows_nothing_takes_all_for_adults(network):
    volume = torch.rand(1, 1, 24, 24, 24)
    dense = network.map_of(volume)
    assert network.child_probability(dense, volume, 3.0) == network.child_threshold == 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 3.0))
def test_the_gate_is_fishers_discriminant(seed, apart):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(seed)
    angle, scales = rng.uniform(0, np.pi), rng.uniform(1, 3, 2)
    mixing = scales[:, None] * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    adults = rng.normal(size=(200, 2)) @ mixing
    children = rng.normal(size=(200, 2)) @ mixing - apart
    gate = Gate()
    one, other = torch.tensor(adults).float(), torch.tensor(children).float()
    gate.fit(one.mean(0), torch.cov(one.T), other, 0.025)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(
        np.concatenate([adults, children]), np.repeat([0, 1], 200)
    )
    normal = gate(other + 1).logit() - gate(other).logit()  # along (1, 1)
    expected = theirs.decision_function(children + 1) - theirs.decision_function(children)
    np.testing.assert_allclose(normal, expected, rtol=0.02, atol=0.02)
    assert (gate(one) > gate.threshold).float().mean() == pytest.approx(0.025, abs=0.035)


def test_few_children_borrow_the_covariance_of_adults():
    gate, covariance = Gate(), torch.tensor([[1.0, 0.3], [0.3, 2.0]])
    gate.fit(torch.zeros(2), covariance, torch.full((2, 2), -1.0), 0.1)
    assert torch.equal(gate.covariances[1], covariance)
    assert torch.isfinite(gate(torch.randn(5, 2))).all()


def test_sizes_are_those_of_the_kidney_and_of_what_is_seen():
    volume = torch.zeros(2, 1, 20, 20, 20)
    volume[:, :, :10] = 0.5  # half of it: 4,000 voxels
    dense = torch.full((2, 1, 10, 10, 10), -20.0)
    dense[:, :, :5, :5, :4] = 20.0  # a tenth: 800 voxels of the volume
    found = sizes(dense, volume, torch.tensor([1.0, 5.0]))
    np.testing.assert_allclose(found.exp(), [[0.8, 4.0], [100.0, 500.0]], rtol=1e-3)
    assert torch.isfinite(sizes(torch.full_like(dense, -200.0), 0 * volume, 1.0)).all()
