import numpy as np
import optuna
import pytest

from training.search.bayesian import Bayesian
from training.search.bayesian_hyperband import BayesianHyperband
from training.search.digits import digits_table
from training.search.gaussian_process import GaussianProcess
from training.search.hyperband import Hyperband
from training.search.method import Observation
from training.search.random_search import RandomSearch
from training.search.report import Record, fit, read, running_median
from training.search.space import Continuous, Space
from training.search.study import Study

TABLE = digits_table()
METHODS = {
    "random": lambda: RandomSearch(TABLE.space, 1),
    "bayesian": lambda: Bayesian(TABLE.space, 1),
    "combination": lambda: BayesianHyperband(TABLE.space, TABLE.resources, seed=1),
}


def replayed(method, budget):
    """The record of a search over the stored digits table."""
    told = [observation for _, observation in TABLE.replay(method, budget)]
    complete = [n for n, o in enumerate(told) if o.resource in (None, TABLE.resources) and not o.failed]
    return Record("digits", TABLE.space, {}, tuple(told), np.array(complete, int), np.arange(len(told)) + 1.0)


def observed(losses, resources=None, failed=()):
    """A record over a line: trial n is at x = n / count."""
    space = Space((Continuous("x", 0, 1),))
    told = [
        Observation({"x": n / len(losses)}, n, None if n in failed else loss, resources and resources[n])
        for n, loss in enumerate(losses)
    ]
    full = max(resources) if resources else None
    complete = [n for n, o in enumerate(told) if not o.failed and o.resource == full]
    return Record("line", space, {}, tuple(told), np.array(complete, int), np.arange(len(told)) + 1.0)


@pytest.mark.parametrize("kind", METHODS)
def test_a_study_is_read_as_its_search_was_told(tmp_path, kind):
    def train(suggestion):
        if suggestion.trial == 3:
            raise MemoryError("9 GiB of 8")
        return TABLE.train(suggestion).loss

    study = Study(tmp_path / "s.log", kind, TABLE.space, METHODS[kind](), {"method": kind})
    study.run(train, 14)
    study.ask()
    before = (tmp_path / "s.log").read_bytes()
    record = read(tmp_path / "s.log")
    assert (tmp_path / "s.log").read_bytes() == before
    assert (record.name, record.settings, record.running, record.space) == (kind, {"method": kind}, 1, TABLE.space)
    assert record.observations == tuple(study.observations)
    assert [o.trial for o in record.failures] == [3] and record.reasons == [("MemoryError: 9 GiB of 8", 1)]
    assert (np.diff(record.elapsed_s) >= 0).all() and record.elapsed_s[0] >= 0
    assert (record.best[0] if record.best else None) == study.best


def test_a_database_is_read_by_its_path_and_its_address(tmp_path):
    Study(f"sqlite:///{tmp_path}/s.db", "s", TABLE.space, METHODS["random"]()).run(lambda s: TABLE.train(s).loss, 3)
    assert read(f"sqlite:///{tmp_path}/s.db").observations == read(tmp_path / "s.db").observations


def test_of_several_studies_one_is_named(tmp_path):
    for name in ("one", "two"):
        study = Study(tmp_path / "s.log", name, TABLE.space, METHODS["random"]())
        study.run(lambda s: 1.0, 1)
    assert read(tmp_path / "s.log", "two").name == "two"
    with pytest.raises(ValueError, match="several studies, name one of: one, two"):
        read(tmp_path / "s.log")
    with pytest.raises(ValueError, match="no study 'three', name one of: one, two"):
        read(tmp_path / "s.log", "three")


def test_a_study_without_results_says_so(tmp_path):
    Study(tmp_path / "s.log", "s", TABLE.space, METHODS["random"]()).ask(2)
    with pytest.raises(ValueError, match=r"no results yet \(2 trainings are running\)"):
        read(tmp_path / "s.log")


@pytest.mark.parametrize(
    "content", [b"loss,rate\n1,2\n", b"", b"\x00\xff\x00\xff", b'{"a": 1}\n', b"SQLite format 3\0"]
)
def test_a_file_that_is_no_study_is_refused_and_kept(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(ValueError, match="no study"):
        read(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == content


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    for storage in (tmp_path / "s.log", f"sqlite:///{tmp_path}/s.db"):
        with pytest.raises(ValueError, match="There is no file"):
            read(storage)
    assert not list(tmp_path.iterdir())


def test_a_study_of_another_program_is_refused(tmp_path):
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/s.db", study_name="other")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), 2)
    with pytest.raises(ValueError, match="has no space"):
        read(tmp_path / "s.db")


def test_what_was_spent_counts_a_trial_that_goes_on_once():
    record = replayed(Hyperband(TABLE.space, TABLE.resources, seed=0), 6)
    spent = [at for at, _ in TABLE.replay(Hyperband(TABLE.space, TABLE.resources, seed=0), 6)]
    np.testing.assert_allclose(record.spent, spent)
    assert record.full == 27 and all(record.observations[n].resource == 27 for n in record.finished)
    np.testing.assert_allclose(observed([3.0, 2.0, 1.0], failed=[1]).spent, [1, 2, 3])


def test_the_running_median_is_of_the_last_ones():
    np.testing.assert_allclose(running_median(np.array([5.0, 1, 3, 9, 9]), window=3), [5, 3, 3, 3, 9])


@pytest.mark.parametrize("kind", METHODS)
def test_predictions_are_those_of_a_process_without_the_trial(kind):
    record = replayed(METHODS[kind](), 12)
    fitted = fit(record)
    predictions = fitted.predictions()
    process = fitted.process
    z = (process.t - process.mean) / process.scale
    assert len(predictions.loss) == len(record.finished) >= 4
    for m, n in enumerate(record.finished[:6]):
        kept = fitted.trials != record.observations[n].trial
        without = GaussianProcess(process.model, process.x[kept], process.y[kept])
        # the same scale as with it, which a process of fewer losses would choose anew
        beta = without.factor.inverse @ z[kept]
        v = without.factor.inverse @ without.covariance_with(process.x[kept], process.x[~kept][-1:])
        mean = process.mean + process.scale * float((beta @ v)[0])
        variance = process.prior_variance(process.x[~kept][-1:])[0] - (v**2).sum() + process.model.noise
        half = 1.96 * process.scale * np.sqrt(variance)
        expected = np.array([mean, mean - half, mean + half])
        found = [predictions.mean[m], predictions.low[m], predictions.high[m]]
        np.testing.assert_allclose(found, np.exp(expected) if fitted.logarithmic else expected, rtol=1e-5)


def test_losses_that_follow_the_space_are_predicted_and_noise_is_not():
    x = np.arange(30) / 30
    smooth = fit(observed(list(1 + np.sin(6 * x)))).predictions()
    assert smooth.r2 > 0.95 and smooth.rank > 0.95
    noise = fit(observed(list(1 + np.random.default_rng(0).random(30)))).predictions()
    assert noise.r2 < 0.3
    inside = (noise.low < noise.loss) & (noise.loss < noise.high)
    assert inside.mean() > 0.8


def test_the_importance_is_that_of_what_matters_in_the_digits():
    found = fit(replayed(METHODS["random"](), 60)).importance()
    assert found.names[int(np.argmax(found.total))] == "learning_rate"
    assert (found.total >= found.main - 0.05).all() and found.main.sum() < 1.05


@pytest.mark.parametrize("losses", [[1.0], [1.0, 2.0, 3.0], [2.0] * 9])
def test_too_few_or_equal_losses_fit_no_process(losses):
    assert fit(observed(losses)) is None


def test_a_search_that_only_was_stopped_on_rungs_has_nothing_finished():
    record = observed([3.0, 2.0], resources=[1, 3])
    assert len(record.finished) == 1
    record = Record(record.name, record.space, {}, record.observations, np.array([], int), record.elapsed_s)
    assert not record.best and fit(record) is None and not record.agreements
