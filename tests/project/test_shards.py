"""What runs the tests on all cores: each test once, nothing lost when a process dies, pytest's own report."""
from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, Result

SHARED = """
@pytest.fixture(scope="session")
def shared():
    yield
    with open("ended", "a") as file:
        file.write("x")
"""
PASSING = SHARED + """
@pytest.mark.parametrize("number", range(20))
def test_passes(number, shared, tmp_path):
    with open("ran", "a") as file:
        file.write(f"{number}\\n")
    assert not list(tmp_path.iterdir())
"""
FAILING = "def test_fails():\n    print('shown')\n    os.system('echo shown too')\n    assert 0"
SKIPPING = "def test_is_skipped():\n    pytest.skip('not here')"
ENDING = "def test_ends_its_process():\n    os._exit(0)"
KILLED = "@pytest.mark.parametrize('again', [1, 2])\ndef test_is_killed(again):\n    os.kill(os.getpid(), 9)"


@pytest.fixture
def shards(tmp_path):
    """Runs these tests by so many processes: shards([text of a file, …], argument, …, processes=3)."""
    def shards(texts, *words, processes=3):
        for number, text in enumerate(texts):
            (tmp_path / f"test_{number}.py").write_text("import os, pytest\n" + text)
        (tmp_path / "pytest.ini").touch()
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TEST_PROCESSES": str(processes),
                   "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
        done = subprocess.run([sys.executable, ROOT / "tests" / "shards.py", "-p", "no:cacheprovider", *words],
                              cwd=tmp_path, env=environ, capture_output=True, timeout=120, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return shards


def closing_line(result):
    return re.sub(r" in [0-9.]+s.*", "", result.text.splitlines()[-1].strip("= "))


@pytest.mark.parametrize("processes", [1, 3])
def test_every_test_runs_once_and_what_they_share_is_ended(shards, tmp_path, processes):
    done = shards([PASSING], processes=processes)
    assert (done.status, closing_line(done), done.err) == (0, "20 passed", "")
    assert sorted((tmp_path / "ran").read_text().split(), key=int) == [str(number) for number in range(20)]
    assert len((tmp_path / "ended").read_text()) in range(1, processes + 1)
    assert "[100%]" in done.text


def test_a_failure_is_shown_as_pytest_shows_it(shards):
    done = shards([PASSING, FAILING, SKIPPING], "-rs")
    assert (done.status, closing_line(done), done.err) == (1, "1 failed, 20 passed, 1 skipped", "")
    assert re.search("\nE +assert 0\n(.*\n)+-+ Captured stdout call -+\nshown\nshown too\n", done.text)
    assert "SKIPPED [1] test_2.py:3: not here" in done.text


@pytest.mark.parametrize("processes", [1, 3])
def test_a_process_that_dies_fails_its_test_and_the_others_run(shards, processes):
    done = shards([ENDING, PASSING, KILLED], processes=processes)
    assert (done.status, closing_line(done), done.err) == (1, "3 failed, 20 passed", "")
    assert "test_0.py::test_ends_its_process: its process ended with status 0" in done.text
    assert "test_2.py::test_is_killed[2]: its process was killed by SIGKILL" in done.text


def test_what_is_ended_after_the_last_test_may_fail_too(shards):
    done = shards(["@pytest.fixture(scope='session')\ndef shared():\n    yield\n    os._exit(5)\n"
                   "def test_passes(shared):\n    pass"])
    assert (done.status, closing_line(done)) == (1, "1 failed, 1 passed")
    assert "ended with status 5" in done.text


@pytest.mark.parametrize("signal, wait, status", [
    ("SIGINT", "while os.getppid() == first: pass", 2), ("SIGKILL", "", -9)])
def test_when_the_first_process_ends_the_others_end_in_order(shards, tmp_path, signal, wait, status):
    """This test would wait for one that is left: it holds the standard output."""
    done = shards([f"import signal\n{SHARED}\ndef test_ends_all(shared):\n    first = os.getppid()\n"
                   f"    os.kill(first, signal.{signal})\n    {wait}\n"])
    assert (done.status, (tmp_path / "ended").read_text()) == (status, "x")


@pytest.mark.parametrize("texts, words, status", [
    ([SKIPPING], [], 5), ([], [], 5), ([PASSING], ["-k", "nothing"], 5), ([PASSING], ["no_such_file.py"], 4),
    (["nonsense("], [], 2), ([SKIPPING], ["--collect-only"], 0),
])
def test_a_run_without_a_test_is_no_success(shards, texts, words, status):
    assert shards(texts, *words).status == status


def test_the_first_failure_can_end_a_sharded_run(shards, tmp_path):
    done = shards([FAILING, PASSING], "-x")
    assert (done.status, closing_line(done)) == (1, "1 failed")
    assert not (tmp_path / "ran").exists()


def test_a_bad_number_of_processes_is_told(shards):
    done = shards([PASSING], processes="none")
    assert done.status == 4
    assert done.err.strip() == "ERROR: TEST_PROCESSES is 'none': set it to a number from 1 on, or unset it"
