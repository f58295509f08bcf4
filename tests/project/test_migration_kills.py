"""A migration killed at each of its steps, in every direction: every call goes on, and it can simply be run again."""
from __future__ import annotations

import itertools
import json
import os

import pytest
from conftest import share
from machine import Machine

from milestone_persist.moving import migration, transfer
from milestone_persist.opening import switching

LOCAL = ("file", "hybrid", "database")
DIRECTIONS = [*itertools.permutations(LOCAL, 2), ("hybrid", "postgresql"), ("file", "postgresql"),
              ("postgresql", "hybrid"), ("postgresql", "file")]
# (where a name is looked up, the name, which of its calls does not come about)
STEPS = [(migration, "write_export", 1), (migration, "copy_own_rows", 1), (migration, "write_record_file", 2),
         (migration, "write_copy_tombstone", 1), (migration, "digest_rows", 1), (migration, "digest_rows", 2),
         (migration, "write_tombstone", 1), (migration, "finish_switch", 1), (switching, "fix_backend", 1),
         (switching, "write_word", 1), (migration, "fix_backend", 1), (migration, "open_up", 1),
         (migration, "remove_tombstone", 1), (migration, "set_old_store_aside", 1), (migration, "log_move", 1)]

@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr(transfer, "PORTION", 3)


@pytest.fixture
def machine(request, directory, clock):
    """A directory; with PostgreSQL set if the test names it in its parameters."""
    names = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    environ = request.getfixturevalue("postgresql_environ") if "postgresql" in names else {}
    return Machine(directory, clock, environ)


def backend_of(engine):
    return "database" if engine == "postgresql" else engine


def fill(machine, start):
    """A store on that engine, fixed by hand, with something in every table that matters."""
    machine.call("migrate-storage-backend", backend_of(start))
    assert machine.words()[1] == start
    for number in range(3):
        machine.call("create-milestone-record", f"MS-{number}", f"title: {number}\n")
    machine.call("delete-milestone-record", "MS-2")
    machine.call("register-agent", "a", "validation", "MS-0", "planning-1")
    machine.call("save-agent-state", "a", "k", "v")
    for number in range(4):
        machine.call("send-agent-message", "a", "a", "progress_update", json.dumps({"n": number}))


def killed(machine, words, module, name, turn, monkeypatch):
    """Whether the call was killed: at the `turn`-th call of a function, as kill -9 does."""
    child = os.fork()
    if child == 0:
        try:
            real, left = getattr(module, name), [turn]

            def die(*given, **named):
                left[0] -= 1
                if not left[0]:
                    os._exit(9)
                return real(*given, **named)

            monkeypatch.setattr(module, name, die)
            machine.call(*words)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1] >> 8
    assert status in (0, 9)
    return status == 9


@pytest.mark.parametrize("start, end, step", [
    (*direction, step) for place, direction in enumerate(DIRECTIONS) for step in share(STEPS, place, 3)],
    ids=lambda value: value if isinstance(value, str) else f"{value[1]}-{value[2]}")
def test_a_migration_killed_at_any_step_stops_nobody_and_can_be_run_again(machine, monkeypatch, start, end, step):
    fill(machine, start)
    before = machine.export()
    late = {"SESSION_ID": "execution-late"}
    killed(machine, ["migrate-storage-backend", backend_of(end)], *step, monkeypatch)
    assert machine.call("load-agent-state", "a", "k") == "v"
    assert machine.call("read-milestone-record", "MS-1") == "title: 1\n"
    machine.call("doctor")
    status, _, err = machine.attempt("save-agent-state", "late", "k", "after", **late)
    assert (status, err) == (0, "")
    machine.call("update-milestone-record", "MS-1", "title: late")
    machine.call("migrate-storage-backend", backend_of(end))
    assert machine.words() == [backend_of(end), end]
    assert machine.call("load-agent-state", "late", "k") == "after"
    assert machine.call("read-milestone-record", "MS-1") == "title: late"
    assert machine.export() == before
    assert machine.call("doctor").startswith("sound")
    if "postgresql" in (start, end):
        return  # to and fro between these is dear: test_switching.py does it once
    machine.call("migrate-storage-backend", backend_of(start))
    machine.call("update-milestone-record", "MS-1", "title: later")
    machine.call("migrate-storage-backend", backend_of(end))
    assert machine.call("read-milestone-record", "MS-1") == "title: later"


@pytest.mark.parametrize("step", [step for step in STEPS if step[0] is switching], ids=lambda step: step[1])
def test_a_check_of_the_monitor_finishes_the_switch_as_any_call_does(machine, monkeypatch, step):
    fill(machine, "hybrid")
    assert killed(machine, ["migrate-storage-backend", "file"], *step, monkeypatch)
    assert machine.call("start-session-monitor", "--once") == "checked: nothing to do\n"
    assert machine.words()[1] == "file"


def test_every_step_is_one_that_some_direction_takes(directory, clock, monkeypatch):
    """So that the steps above do not silently become names that nobody calls."""
    reached = set()
    for place, (start, end) in enumerate([("database", "hybrid"), ("hybrid", "file")]):
        for number, step in enumerate(STEPS):
            machine = Machine(directory.parent / f"{place}-{number}" / ".milestones", clock, {})
            fill(machine, start)
            if killed(machine, ["migrate-storage-backend", end], *step, monkeypatch):
                reached.add(step)
    assert reached == set(STEPS)
