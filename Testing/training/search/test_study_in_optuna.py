"""Optuna's own tools read a study file of ours: plots, importance, the best trial, all trials."""

import os

import matplotlib
import numpy as np
import optuna
import pytest

from training.search.hyperband import Hyperband
from training.search.random_search import RandomSearch
from training.search.space import Categorical, Continuous, Integer, Ordinal, Space
from training.search.study import Study

SPACE = Space(
    (
        Continuous("rate", 1e-4, 1.0, log=True),
        Integer("width", 1, 64),
        Ordinal("batch", (16, 32, 64)),
        Categorical("kind", ("a", "b")),
        Integer("depth", 1, 4, only_if=("kind", ("b",))),
    )
)
KINDS = {"plain": lambda: RandomSearch(SPACE, 0), "multi-fidelity": lambda: Hyperband(SPACE, 9, seed=0)}


def train(suggestion):
    c = suggestion.configuration
    if c["batch"] == 64 and c["width"] > 40:
        raise MemoryError("9 GiB of 8")
    return (np.log10(c["rate"]) + 2) ** 2 + 0.01 * c["width"] + 3 / (suggestion.resource or 9)


@pytest.fixture(scope="module", params=KINDS)
def studies(request, tmp_path_factory):
    """Ours, and the same opened by Optuna alone."""
    matplotlib.use("agg")
    path = tmp_path_factory.mktemp("study") / "s.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        ours = Study(path, "s", SPACE, KINDS[request.param]())
        ours.run(train, 50)
    backend = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return ours, optuna.load_study(storage=backend, study_name="s")


def test_the_best_trial_is_ours(studies):
    ours, theirs = studies
    assert theirs.best_trial.params == ours.best.configuration
    assert (theirs.best_value, theirs.best_trial.user_attrs["trial"]) == (ours.best.loss, ours.best.trial)


def test_states_say_what_came_of_a_training(studies):
    ours, theirs = studies
    states = {(t.user_attrs["trial"], t.user_attrs["resource"]): t.state.name for t in theirs.trials}
    full = getattr(ours.method, "resource", None)
    for o in ours.observations:
        expected = "FAIL" if o.failed else "COMPLETE" if o.resource == full else "PRUNED"
        assert states[o.trial, o.resource] == expected
    assert "FAIL" in states.values()


@pytest.mark.parametrize("evaluator", ["FanovaImportanceEvaluator", "PedAnovaImportanceEvaluator"])
def test_importance_is_told_of_the_full_trainings(studies, evaluator):
    ours, theirs = studies
    evaluate = getattr(optuna.importance, evaluator)
    found = optuna.importance.get_param_importances(theirs, evaluator=evaluate(), params=["rate", "width", "batch"])
    assert sum(found.values()) == pytest.approx(1)
    if isinstance(ours.method, RandomSearch):  # those that get to the end of the other have much the same rate
        assert max(found, key=found.get) == "rate"


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "plot",
    [
        "plot_optimization_history",
        "plot_parallel_coordinate",
        "plot_slice",
        "plot_param_importances",
        "plot_edf",
        "plot_rank",
        "plot_intermediate_values",
        "plot_timeline",
    ],
)
def test_plots_show_the_trials(studies, plot):
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    _, theirs = studies
    axes = np.ravel(getattr(plots, plot)(theirs))
    has = [axis.lines or axis.collections or axis.patches for axis in axes]
    pyplot.close("all")
    if plot == "plot_intermediate_values":
        assert bool(has[0]) == any(t.state.name == "PRUNED" for t in theirs.trials)
    else:
        assert all(has)


def test_trials_have_their_parameters_and_attributes_as_optuna_reads_them(studies):
    ours, theirs = studies
    assert len(theirs.trials) == len(ours.observations)
    by_key = {(t.user_attrs["trial"], t.user_attrs["resource"]): t for t in theirs.trials}
    for o in ours.observations:
        trial = by_key[o.trial, o.resource]
        assert (trial.params, trial.value) == (o.configuration, o.loss)
        assert trial.user_attrs.get("reason") == ("MemoryError: 9 GiB of 8" if o.failed else None)
    assert any("depth" in t.params for t in theirs.trials) and not all("depth" in t.params for t in theirs.trials)
