"""What one call costs, by counts that no load changes: modules, statements, files, instructions; bench/figures.json.

What has to grow is written there anew: /usr/bin/python3 bench/calls.py --write. docs/performance.md tells the limits.
"""
from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess

import pytest
from conftest import ROOT

SPEC = importlib.util.spec_from_file_location("calls", ROOT / "bench" / "calls.py")
calls = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(calls)
FIGURES = calls.read_figures()
# What costs as much as all of ours: no call needs one of them.
COUNTED = ("ours", "statements", "opens", "looks")
HEAVY = {"json", "re", "enum", "functools", "collections", "datetime", "typing", "sqlite3", "argparse", "pathlib",
         "dataclasses", "hashlib", "subprocess", "threading", "tempfile", "shutil", "contextlib", "traceback",
         "warnings", "importlib", "logging", "random", "uuid", "difflib", "signal", "socket", "shlex"}


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    return calls.prepare(str(tmp_path_factory.mktemp("calls")))


@pytest.mark.parametrize("name", calls.CALLS)
def test_a_call_loads_opens_and_asks_no_more_than_it_did(environ, name):
    found, figure = calls.count_steps(calls.CALLS[name], calls.later(environ)), FIGURES["calls"][name]
    assert HEAVY & set(found["theirs"]) == set()
    grown = {what: (figure[what], found[what]) for what in COUNTED if found[what] > figure[what]}
    assert grown == {}, "if that must be: /usr/bin/python3 bench/calls.py --write, and say in docs/performance.md why"


@pytest.fixture(scope="module")
def counted():
    """The instructions of each call, by the Python of which there are figures."""
    machine = FIGURES["machine"]
    python = machine["executable"]
    if not shutil.which("valgrind") or not os.access(python, os.X_OK):
        pytest.skip(f"no valgrind, or no {python}: instructions are not compared")
    found = json.loads(subprocess.run([python, ROOT / "bench" / "calls.py", "--json"], check=True, capture_output=True,
                                      text=True).stdout)
    if found["machine"] != machine:
        pytest.skip(f"the figures are of {machine}, this is {found['machine']}: instructions are not compared")
    return found["calls"]


def test_no_call_takes_more_instructions_than_it_did(counted):
    """Beside those of a bare start with sqlite3, within five in a hundred."""
    ratios = {name: (FIGURES["calls"][name]["ratio"], counted[name]["ratio"]) for name in calls.CALLS}
    assert {name: pair for name, pair in ratios.items() if pair[1] > 1.05 * pair[0]} == {}


def test_the_counts_see_what_is_loaded_and_asked(environ):
    """Else they could not grow: another call, which needs more, is counted as more."""
    few = calls.count_steps(calls.CALLS["load"], calls.later(environ))
    more = calls.count_steps(["get_session_status", "planning-1"], calls.later(environ))
    assert more["ours"] > few["ours"] > 20 and more["statements"] > few["statements"] > 5
    assert more["opens"] > few["opens"] > 20 and more["looks"] > few["looks"] > 20
