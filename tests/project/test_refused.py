"""A call that is refused in an empty folder leaves it empty, whatever was wrong with it, on each surface."""
from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import warnings

import pytest

from milestone_persist import MilestoneError, open_store
from milestone_persist.mcp.calling import RequestClock, Surroundings, ToolCall
from milestone_persist.mcp.tools import is_tool
from milestone_persist.registry import all_operations

OPERATIONS = [op for op in all_operations() if op.creates and op.parameters]  # what only looks: tests/opening
FITTING = {"agent_id": "a", "from_agent": "a", "to_agent": "b", "state_key": "k", "session_id": "planning-m-1",
           "session": "planning-m-1", "milestone_id": "m", "milestone": "m", "payload": "{}", "details": "{}",
           "capabilities": "[]", "message_type": "error_report", "agent_type": "validation", "backend": "hybrid",
           "state_type": "progress", "status": "active", "checkpoint_type": "manual", "health": "healthy",
           "text": "title: x", "messages": '[{"to_agent": "b", "message_type": "x-n", "payload": {}}]',
           "values": '{"k": "v"}', "operations": '["save_agent_state", "a", "k", "v"]', "key": "session_timeout",
           "value": "60", "priority": "5", "message_id": "1", "ttl": "60", "wait": "0"}
BAD = ["", "nonsense", "99999999999999999999", "a\nb", "[1]", "file"]
ALSO_BAD = {"operations": ['["none"]', '["load_agent_state", "a", "k"]', '["update_agent_status", "a", "x"]'],
            "messages": ['[{"to_agent": "b", "message_type": "none", "payload": {}}]'],
            "file": ["/dev/null", "database"], "value": ["-1"], "priority": ["0"], "payload": ['{"a": NaN}', "[" * 300]}
BAD_DATA = [None, -1, {"a": 1}]
ENDLESS = ("follow", "wait", "watch")


@pytest.fixture
def backend():
    """It is refused before one is made: one will do; tests/opening tries some calls on each."""
    return "hybrid"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current directory, empty but for a file that is nothing."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "file").write_bytes(b"SQLite format 3\0 and nothing else")
    with contextlib.closing(sqlite3.connect(folder / "database")) as database:
        database.execute("CREATE TABLE of_others (x)")
    monkeypatch.chdir(folder)
    return folder


class Sweep:
    """Every operation with one parameter wrong at a time; `refused` counts the calls that were."""

    def __init__(self, directory, folder):
        self.directory, self.folder, self.refused, self.left = directory, folder, 0, []

    def note(self, what, is_refused):
        others = [path for path in self.folder.iterdir() if path.name not in ("file", "database")]
        there = self.directory.exists() or others
        if is_refused:
            self.refused += 1
            if there:
                self.left.append(what)
        if there:
            shutil.rmtree(self.directory, ignore_errors=True)
            for path in others:
                (shutil.rmtree if path.is_dir() else os.unlink)(path)

    def ends(self, at_least):
        assert not self.left, f"{len(self.left)} of {self.refused} refused calls left something: {self.left[:40]}"
        assert self.refused >= at_least, self.refused


@pytest.fixture
def sweep(directory, folder):
    return Sweep(directory, folder)


def each_call(values, operations=OPERATIONS):
    """An operation, and its arguments by name, one of which is of the values."""
    for op in operations:
        required = {p.name: FITTING.get(p.name, "x") for p in op.positionals if p.required}
        for parameter in op.parameters:
            for value in [*values, *ALSO_BAD.get(parameter.name, [])] if parameter.name not in ENDLESS else ():
                yield op, {**required, parameter.name: value}, parameter.name


def words_of(op, given):
    """The words of a command line; those before the last that is given must be there."""
    places = op.positionals
    last = max([number for number, p in enumerate(places) if p.name in given], default=-1)
    words = [str(given.get(p.name, FITTING.get(p.name, "x"))) for p in places[:last + 1]]
    return [*words, *(f"{p.flag}={given[p.name]}" for p in op.options if p.name in given)]


def test_a_refused_command_line_leaves_nothing(cli, sweep):
    for op, given, wrong in each_call(BAD):
        done = cli(op.name, *words_of(op, given), AGENT_ID="a")  # whose heartbeat is renewed by every call
        sweep.note((op.name, wrong, given[wrong][:20]), done.status != 0)
    sweep.ends(at_least=300)


def test_a_refused_call_in_python_leaves_nothing(directory, environ, clock, sweep):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for op, given, wrong in each_call([*BAD, *BAD_DATA], OPERATIONS):
            with open_store(directory, clock=clock, environ=environ) as store:
                try:
                    getattr(store, op.name)(**given)
                    refused = False
                except MilestoneError:
                    refused = True
            sweep.note((op.name, wrong, str(given[wrong])[:20]), refused)
    sweep.ends(at_least=400)


def test_a_refused_tool_call_leaves_nothing(directory, environ, clock, sweep):
    surroundings = Surroundings(str(directory), environ, clock)
    for op, given, wrong in each_call([*BAD, *BAD_DATA], [op for op in OPERATIONS if is_tool(op)]):
        result = ToolCall(op, surroundings, RequestClock(clock, lambda: False), ()).run(given)
        sweep.note((op.name, wrong, str(given[wrong])[:20]), result["isError"])
    sweep.ends(at_least=400)
