"""Results that several processes add to one file."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from training.experiments.rows import add_result

ADDING = """
    import sys
    from pathlib import Path
    from training.experiments.rows import add_result

    def read(file):
        return dict(line.split(",") for line in file.read_text().split()) if file.exists() else {}

    def write(file, found):
        file.write_text("".join(f"{key},{result}\\n" for key, result in found.items()))

    file, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(count):
        add_result(file, f"{name}{n}", str(n), read, write)
        print(n, flush=True)
"""


def a_process(file, name, count):
    command = [sys.executable, "-c", textwrap.dedent(ADDING), str(file), name, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def start(*processes):
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def test_two_processes_that_add_at_once_lose_nothing(tmp_path):
    file = tmp_path / "new" / "runs.csv"
    processes = [a_process(file, name, 100) for name in "ab"]
    start(*processes)
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted(file.read_text().split()) == sorted(f"{name}{n},{n}" for name in "ab" for n in range(100))


def test_one_that_is_killed_loses_nothing_that_was_added_and_stops_nobody(tmp_path):
    file = tmp_path / "runs.csv"
    killed, other = a_process(file, "a", 10_000), a_process(file, "b", 100)
    start(killed, other)
    added = killed.stdout.readline()
    time.sleep(0.1)
    os.kill(killed.pid, signal.SIGKILL)
    added += killed.stdout.read()
    assert other.wait(timeout=60) == 0 and killed.wait() == -signal.SIGKILL
    kept = file.read_text().split()
    assert {f"a{n},{n}" for n in added.split()} | {f"b{n},{n}" for n in range(100)} <= set(kept)
    assert len(kept) == len(set(kept)) <= 100 + len(added.split()) + 1  # it may have died before it said so


def test_what_fails_while_it_is_written_leaves_the_results_as_they_were(tmp_path):
    file = tmp_path / "runs.csv"
    file.write_text("old")

    def write(temporary, found):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        add_result(file, 1, 2, lambda _: {}, write)
    assert file.read_text() == "old"
    assert add_result(file, 1, 2, lambda _: {0: 1}, lambda temporary, found: temporary.write_text("new")) == {
        0: 1,
        1: 2,
    }
