"""A bounded run of tests/alike.py: what backends answer, refuse and keep never differs, and what must hold, holds.

It runs long on request.
"""
from __future__ import annotations

import re
import subprocess
import sys

import pytest
from alike import Alike, Broken
from conftest import ROOT, size
from side import make_sides


@pytest.fixture
def alike(memory, clock, request):
    made = Alike(make_sides(memory, clock, backends=("file", "hybrid")), clock, request.param)
    yield made
    made.close()


@pytest.mark.parametrize("alike", range(size(2, 8)), indirect=True)
def test_files_and_sqlite_answer_alike_and_so_does_a_store_that_moves(alike):
    alike.run(size(50, 110))
    assert alike.tried > size(40, 90)


@pytest.mark.parametrize("alike", [1], indirect=True)
def test_a_row_that_differs_is_found(alike):
    storage = alike.sides[1].stores[0].storage()
    with storage.transaction():
        storage.execute("DELETE FROM agent_coordination_config WHERE key = 'session_timeout'")
    with pytest.raises(Broken, match="the rows of hybrid differ from those of file"):
        alike.compare_rows()


@pytest.mark.parametrize("alike", [1], indirect=True)
@pytest.mark.parametrize("change, told", [
    ("DELETE FROM agent_messages", "messages are gone: "),
    ("UPDATE agent_state SET version = 1", "the version of .* falls from 2 to 1"),
    ("UPDATE agent_state SET state_value = 'w'", "has changed and its version has not"),
    ("UPDATE coordination_sessions SET agent_count = 7", "agents of x: 7 7 1")])
def test_what_must_not_be_is_found(alike, change, told):
    for call in (("register_agent", ("a", "x-own", "m", "x"), {}), *[("save_agent_state", ("a", "k", "v"), {})] * 2,
                 ("send_agent_message", ("a", "c", "x-t", {}), {})):
        alike.call(2, *call)
    before, storage = alike.watch.look(), alike.sides[1].stores[0].storage()
    with storage.transaction():
        storage.execute(change)
    assert any(re.search(told, what) for what in alike.watch.judge(before, "list_agent_state", []))


def test_it_runs_as_a_program():
    done = subprocess.run([sys.executable, ROOT / "tests" / "alike.py", "--seed", "1", "--steps", "2",
                           "--backends", "file"],
                          capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout == "seed 1: 2 steps on 2 stores\n"
