import numpy as np
import pytest
from scipy.stats import kendalltau

from training.search.bayesian_hyperband import BayesianHyperband, SourceCombination
from training.search.curve_table import CurveTable
from training.search.hyperband import Hyperband
from training.search.method import Observation
from training.search.space import Categorical, Continuous, Ordinal, Space

SPACE = Space(
    (
        Ordinal("rate", tuple(range(10))),
        Ordinal("width", (1, 2, 3, 4)),
        Categorical("kind", ("a", "b", "c")),
    )
)
BOTH = [BayesianHyperband, SourceCombination]


def a_table(misleading=False):
    """120 curves over 9 epochs: the end depends on all parameters; if misleading, the best are worst until then."""
    x = SPACE.encode(SPACE.enumerate())
    end = np.exp(4 * (x[:, 0] - 0.7) ** 2 + (1 - x[:, 1]) ** 2 + 0.3 * x[:, 2] - 2)
    epochs = np.arange(1, 10)
    loss = end[:, None] + 0.5 * np.exp(-0.4 * epochs) * (1 + x[:, :1])
    if misleading:
        loss[:, :-1] = 1 / end[:, None] + 0.1 * np.exp(-epochs[:-1])
    return CurveTable(SPACE, loss, loss / 10, np.ones(len(loss)))


def regret(method, table, budget):
    finished = [o.loss for _, o in table.replay(method, budget) if o.resource == table.resources and not o.failed]
    return min(finished, default=np.inf) - np.nanmin(table.final)


def run(search, table, count, workers=1):
    """Suggestions of `count` trainings, told the table's losses, in order."""
    seen = []
    while len(seen) < count and (suggestions := search.ask(workers)):
        for suggestion in suggestions:
            search.tell(table.train(suggestion))
        seen += suggestions
    return seen


def test_it_finds_better_ones_than_hyperband_for_the_same_budget():
    table, kinds = a_table(), (BayesianHyperband, Hyperband)
    means = [np.mean([regret(kind(SPACE, 9, seed=s), table, 10) for s in range(4)]) for kind in kinds]
    assert means[0] < means[1] / 2


def test_the_first_rung_is_hyperbands_and_what_comes_then_is_not():
    table = a_table()
    ours, hyperbands = (run(kind(SPACE, 9, seed=1), table, 30) for kind in (BayesianHyperband, Hyperband))
    assert ours[:13] == hyperbands[:13]  # 9 at the start, and 3 and 1 of them that go on
    assert [s.configuration for s in ours[13:18]] != [s.configuration for s in hyperbands[13:18]]


def test_what_the_source_draws_after_a_round_is_better_than_random():
    table = a_table()
    search = SourceCombination(SPACE, 9)
    run(search, table, 22)  # as many trainings as a round has
    chosen = [table.final[table.row(s.configuration)] for s in run(search, table, 9)]
    assert np.mean(chosen) < np.quantile(table.final, 0.4)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("workers", [1, 7])
def test_no_configuration_is_tried_twice_and_the_space_is_used_up(method, workers):
    space = Space((Ordinal("a", (1, 2, 3, 4, 5, 6)), Categorical("b", ("x", "y", "z"))))
    loss = np.outer(np.arange(1, 19), 1 / np.arange(1, 10))
    seen = run(method(space, 9), CurveTable(space, loss, loss, np.ones(18)), 1000, workers)
    started = {s.trial: space.key(s.configuration) for s in seen}
    assert len(set(started.values())) == len(started) == 18
    assert len({(s.trial, s.resource) for s in seen}) == len(seen)


@pytest.mark.parametrize("method", BOTH)
def test_the_same_seed_gives_the_same_search_and_another_another(method):
    table = a_table()
    searches = [run(method(SPACE, 9, seed=s), table, 30, workers=3) for s in (1, 1, 2)]
    assert searches[0] == searches[1] != searches[2]


@pytest.mark.parametrize("method", BOTH)
def test_a_search_that_is_told_an_earlier_one_goes_on_like_it(method):
    table = a_table()
    whole = run(method(SPACE, 9, seed=1), table, 40)
    resumed = method(SPACE, 9, seed=1)
    for suggestion in whole[:30]:
        resumed.tell(table.train(suggestion))
    resumed.take_up(whole[30])
    resumed.tell(table.train(whole[30]))
    assert run(resumed, table, 9) == whole[31:]


@pytest.mark.parametrize("method", BOTH)
def test_an_infinite_space_is_searched_too(method):
    space = Space((Continuous("x", 1e-4, 1, log=True), Continuous("y", 0, 1)))
    search = method(space, 9)
    for _ in range(25):
        (suggestion,) = search.ask()
        c = suggestion.configuration
        loss = (np.log10(c["x"]) + 2) ** 2 + (c["y"] - 0.3) ** 2 + 1 / suggestion.resource
        search.tell(Observation(c, suggestion.trial, loss, suggestion.resource))
    assert len({space.key(c) for c in search.trials.configurations.values()}) == len(search.trials.configurations)


@pytest.mark.parametrize("method", BOTH)
def test_constant_losses_and_nothing_but_failures_are_survived(method):
    for loss in (1.0, None):
        search = method(SPACE, 9)
        for _ in range(15):
            for s in search.ask(2):
                search.tell(Observation(s.configuration, s.trial, loss, s.resource))
        assert len(search.trials.observed) == 30


def test_many_at_once_differ_and_are_spread():
    table = a_table()
    search = BayesianHyperband(SPACE, 9)
    run(search, table, 26)
    asked = [s for s in search.ask(20) if s.trial > 20]
    rows = SPACE.encode([s.configuration for s in asked])
    assert len(np.unique(rows, axis=0)) == len(asked) >= 10
    assert np.ptp(rows[:, 0]) > 0.3  # with pending trials ignored they would be neighbours


def test_where_trainings_fail_is_learned():
    table = a_table()
    table.loss[SPACE.encode(SPACE.enumerate())[:, 0] > 0.5] = np.nan  # the best among them
    failed = {}
    for kind in (BayesianHyperband, Hyperband):
        seen = [run(kind(SPACE, 9, seed=s), table, 40) for s in range(2)]
        failed[kind] = np.mean([s.configuration["rate"] > 4 for trainings in seen for s in trainings])
    assert failed[BayesianHyperband] < failed[Hyperband] / 2


def test_a_rung_that_misleads_is_noticed_and_trainings_are_full_from_then_on():
    table = a_table(misleading=True)
    search = BayesianHyperband(SPACE, 9)
    seen = run(search, table, 90)
    assert [agreement.misleads for agreement in search.agreements()][-1]
    started = {s.trial: s.resource for s in reversed(seen)}
    assert {started[trial] for trial in sorted(started)[-5:]} == {9}
    assert min(table.train(s).loss for s in seen if s.resource == 9) < np.quantile(table.final, 0.1)


def slow_starters():
    """120 curves over 9 epochs that cross: the larger the rate, the later a training gets good, and the better."""
    x = SPACE.encode(SPACE.enumerate())
    rate, epochs = x[:, :1], np.arange(1, 10)
    loss = 1 - 0.6 * rate + 0.1 * x[:, 1:2] + (0.3 + 3 * rate) * np.exp(-epochs / (0.4 + 1.6 * rate))
    return CurveTable(SPACE, loss, loss, np.ones(len(loss)))


def test_of_curves_that_cross_those_that_end_best_are_found():
    table = slow_starters()
    assert kendalltau(table.loss[:, 0], table.final).statistic < -0.5
    means = [
        np.mean([regret(kind(SPACE, 9, seed=s), table, 14) for s in range(4)])
        for kind in (BayesianHyperband, Hyperband)
    ]
    assert means[0] < means[1] / 3


def test_the_agreement_of_rungs_is_logged_when_it_changes(caplog):
    search = BayesianHyperband(SPACE, 9)
    with caplog.at_level("INFO"):
        run(search, a_table(misleading=True), 90)
    lines = [record.getMessage() for record in caplog.records]
    assert any("Rungs 3 and 9" in line and line.endswith("the lower one misleads and is left out.") for line in lines)
    assert any(line.startswith("Rungs 1 and 3: Kendall's tau 1.00 of") for line in lines)
    assert len(lines) == len(set(lines))


def test_rungs_that_agree_are_kept():
    search = BayesianHyperband(SPACE, 9)
    seen = run(search, a_table(), 60)
    assert not any(agreement.misleads for agreement in search.agreements())
    assert {s.resource for s in seen[-25:]} == {1, 3, 9}
