import subprocess
import sys
import textwrap
from collections import Counter

import optuna
import pytest

from training.search.random_search import RandomSearch
from training.search.space import Continuous, Space
from training.search.study import Study

SPACE = Space((Continuous("x", 0, 1),))
WORKER = """
    import sys
    from training.search.hyperband import Hyperband
    from training.search.space import Continuous, Space
    from training.search.study import Study
    space = Space((Continuous("x", 0, 1),))
    study = Study(sys.argv[1], "s", space, Hyperband(space, 9, seed=3))
    study.run(lambda s: (s.configuration["x"] - 0.3) ** 2 + 1 / s.resource, 30)
"""


def test_workers_that_open_a_database_at_the_same_moment_train_nothing_twice(tmp_path):
    address = f"sqlite:///{tmp_path}/s.db"
    command = [sys.executable, "-c", textwrap.dedent(WORKER), address]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for worker in workers:
        _, errors = worker.communicate()
        assert worker.returncode == 0, errors
    trials = optuna.load_study(storage=address, study_name="s").trials
    done = Counter((trial.user_attrs["trial"], trial.user_attrs["resource"]) for trial in trials)
    assert max(done.values()) == 1 and 30 <= len(done) <= 32  # two may have been under way at the end
    assert all(trial.state.is_finished() for trial in trials)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    (tmp_path / "s.db").write_text("loss,rate\n1,2\n")
    with pytest.raises(ValueError, match="holds no studies"):
        Study(f"sqlite:///{tmp_path}/s.db", "s", SPACE, RandomSearch(SPACE))
    assert (tmp_path / "s.db").read_text() == "loss,rate\n1,2\n"


def test_a_database_whose_driver_is_missing_says_what_to_install(monkeypatch):
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(ValueError, match="pip install 'psycopg"):
        Study("postgresql://127.0.0.1/studies", "s", SPACE, RandomSearch(SPACE))
