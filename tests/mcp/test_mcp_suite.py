"""Every operation called through MCP once: what it gives equals what the command line gives."""
from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import sys

import pytest
from conftest import share
from example_scene import AFTER_A_SILENCE, BEFORE
from mcp_wire import said

from milestone_persist.cli.arguments import bind
from milestone_persist.cli.words import CommandLine
from milestone_persist.mcp.tools import COMMANDS, choose_tools, parameters_of
from milestone_persist.registry import all_operations
from milestone_persist.registry.manual import example_of

TOOLS = {op.name: op for op in choose_tools("all")}
PROCESSES = ("start_session_monitor", "stop_session_monitor")  # of which no two are the same
FOR_PEOPLE = {"install", "uninstall", "init", "mcp", "vendor", "hook", "dashboard", "generate", "completion", "watch"}


@pytest.fixture
def backend():
    return "hybrid"


def test_what_is_for_people_and_shells_is_no_tool():
    """A command is none unless it is named; an operation on a store is one, whoever declares it."""
    assert not FOR_PEOPLE & {*TOOLS} and {*COMMANDS} <= {*TOOLS}
    assert {op.name for op in all_operations() if op.opens} <= {*TOOLS}


def arguments_of(op, words):
    """The arguments of a command line by name, as a model would give them: JSON for JSON."""
    line = CommandLine()
    line.words = words
    args, options = bind(op, line, {})
    names = [*op.positionals]
    given = dict(options)
    for parameter in names:
        if parameter.repeated:
            given[parameter.name] = args[len(names) - 1:]
        elif args[names.index(parameter):]:
            given[parameter.name] = args[names.index(parameter)]
    return {name: json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") and name != "value" else value
            for name, value in given.items()}


@pytest.fixture
def same(scene, directory, tmp_path, monkeypatch):
    """Runs something on the scene, each time on the same: files, tokens and all."""
    files = [directory, tmp_path / "src"]

    def random_bytes():
        return (number.to_bytes(8, "big") for number in itertools.count(1))

    def same(action):
        scene.close()
        kept = tmp_path / "kept"
        if not kept.exists():
            shutil.copytree(tmp_path, kept, ignore=lambda folder, names: ["kept"])
        for path in tmp_path.iterdir():
            if path.name != "kept":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
        numbers = random_bytes()
        monkeypatch.setattr(os, "urandom", lambda count: next(numbers).rjust(count, b"\0")[-count:])
        try:
            return action()
        finally:
            monkeypatch.setattr(os, "urandom", os.getrandom)

    assert all(path.exists() for path in files)
    return same


@pytest.mark.parametrize("name", share([name for name in TOOLS if name not in PROCESSES], sys.version_info[1] % 4, 4))
def test_a_tool_gives_what_the_command_gives(scene, same, cli, serve, clock, directory, environ, name):
    op = TOOLS[name]
    environ.pop("MILESTONE_BACKEND")
    BEFORE.get(name, lambda store: None)(scene)
    clock.advance(600 if name in AFTER_A_SILENCE else 0)
    words = shlex.split(example_of(op).partition(" | ")[0])
    now, arguments = clock.seconds, arguments_of(op, words[1:])

    def by_command(*more):
        clock.seconds = now
        return cli(*more, *words)

    def by_tool():
        clock.seconds = now
        served = serve(structured=True, directory="", environ={**environ, "MILESTONE_DIR": str(directory)})
        try:
            return served.call(name, **arguments)
        finally:
            served.end()

    printed, data = same(by_command), same(lambda: by_command("--json"))
    result = same(by_tool)
    assert result["isError"] is False and printed.status == data.status == 0
    assert said(result) == [text for text in (printed.text or "done", printed.err.rstrip("\n")) if text]
    assert result["structuredContent"]["result"] == json.loads(data.text)


def test_the_monitor_is_started_and_stopped_by_tools(wire):
    started = wire.call("start_session_monitor", seconds=300)
    try:
        assert started["isError"] is False
        assert said(wire.call("get_session_monitor_status"))[0].startswith("running")
    finally:
        stopped = wire.call("stop_session_monitor")
    assert stopped["isError"] is False and wire.call("stop_session_monitor")["isError"] is True


def test_each_example_names_every_argument_as_its_schema_does():
    for op in TOOLS.values():
        words = shlex.split(example_of(op).partition(" | ")[0])
        assert {*arguments_of(op, words[1:])} <= {p.name for p in parameters_of(op)}, op.name
