"""Who a caller is: ids from the environment where an argument is left out, heartbeats, whoami."""
from __future__ import annotations

import pytest

from milestone_persist.registry import all_operations


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture
def scene(store):
    store.register_agent("coord-1", "milestone-coordinator", "ms-1", "planning-1")
    store.register_agent("scope-1", "scope-analyzer", "ms-1", "planning-1")
    return store


def heartbeat(store, agent):
    return store.update_agent_status(agent)["last_heartbeat"]


def test_an_operation_takes_the_only_id_it_needs_from_the_environment(scene, cli):
    scene.save_agent_state("coord-1", "k", "v")
    assert b"k" in cli("list-agent-state", AGENT_ID="coord-1").out
    assert b"coord-1" in cli("list-session-agents", SESSION_ID="planning-1").out
    assert cli("agent-heartbeat", "--cpu", "97", AGENT_ID="coord-1").status == 0
    assert cli("--from-shell", "get_agent_messages", AGENT_ID="coord-1").out == b"[]\n"


def test_an_argument_goes_before_the_environment(scene, cli):
    scene.save_agent_state("coord-1", "k", "v")
    assert cli("list-agent-state", "coord-1", AGENT_ID="scope-1").out.startswith(b"state_key")


@pytest.mark.parametrize("words", [
    ["save-agent-state", "k", "v"], ["load-agent-state", "k"], ["send-agent-message", "x-n", "{}"],
    ["delete-agent-state", "k"], ["delete-agent-state"], ["abandon-session"], ["restart-incomplete-phases"],
    ["restart-milestone-execution"], ["delete-milestone-record"], ["restore-agent-checkpoint"],
    ["complete-planning-session"], ["update-session-progress", "40"],
])
def test_positions_are_fixed_and_what_changes_others_must_be_named(scene, cli, dump, words):
    before = dump()
    done = cli(*words, AGENT_ID="coord-1", SESSION_ID="planning-1", MILESTONE_ID="ms-1")
    assert done.status == 2 and "is missing" in done.err
    assert dump() == before


def test_help_and_errors_name_the_variable(cli):
    assert "(without any argument: $AGENT_ID)" in cli("get-agent-messages", "--help").text
    assert "AGENT_ID is missing, and $AGENT_ID is not set" in cli("get-agent-messages").err
    assert cli("get-agent-messages", AGENT_ID="").status == 2


def test_only_looking_and_acting_for_oneself_take_an_id_from_the_environment():
    found = {op.name for op in all_operations() if any(p.variable for p in op.parameters)}
    assert {op.name for op in all_operations() if op.name in found and op.creates} == {
        "update_agent_status", "agent_heartbeat", "get_agent_messages", "create_agent_checkpoint"}
    assert {"get_session_status", "read_milestone_record"} <= found


def test_looking_renews_the_callers_heartbeat_once_an_interval(scene, cli, clock):
    begun = heartbeat(scene, "coord-1")
    clock.advance(20)
    cli("load-agent-state", "scope-1", "k", "none", AGENT_ID="coord-1")
    assert heartbeat(scene, "coord-1") == begun
    clock.advance(20)
    cli("load-agent-state", "scope-1", "k", "none", AGENT_ID="coord-1")
    assert heartbeat(scene, "coord-1") == "2026-01-01 00:00:40.000"
    assert heartbeat(scene, "scope-1") == begun


@pytest.mark.parametrize("who", [{}, {"AGENT_ID": "stranger"}])
def test_looking_writes_nothing_for_anybody_else(scene, cli, clock, directory, who):
    clock.advance(600)
    before = (directory / "coordination.db").read_bytes()
    assert cli("load-agent-state", "scope-1", "k", "none", **who).out == b"none"
    assert (directory / "coordination.db").read_bytes() == before


def test_looking_works_where_the_heartbeat_cannot_be_written(scene, cli, clock):
    clock.advance(600)
    scene._storage().execute("CREATE TRIGGER t BEFORE UPDATE ON agent_registry BEGIN SELECT RAISE(ABORT, 'no'); END")
    assert cli("load-agent-state", "scope-1", "k", "none", AGENT_ID="coord-1").out == b"none"


@pytest.mark.parametrize("variables, lines", [
    ({}, ["agent: unknown: set AGENT_ID", "session: unknown: set SESSION_ID", "milestone: unknown: set MILESTONE_ID"]),
    ({"AGENT_ID": "coord-1"},
     ["agent: coord-1 (milestone-coordinator, active), from AGENT_ID",
      "session: planning-1 (planning, active), from the agent", "milestone: ms-1, from the agent"]),
    ({"AGENT_ID": "new", "SESSION_ID": "planning-1"},
     ["agent: new, from AGENT_ID; not registered: register_agent new TYPE MILESTONE SESSION",
      "session: planning-1 (planning, active), from SESSION_ID", "milestone: ms-1, from the session"]),
    ({"AGENT_ID": "coord-1", "SESSION_ID": "other", "MILESTONE_ID": "ms-2"},
     ["agent: coord-1 (milestone-coordinator, active), from AGENT_ID",
      "session: other (there is none yet), from SESSION_ID; but the agent is registered in planning-1",
      "milestone: ms-2, from MILESTONE_ID"]),
])
def test_whoami(scene, cli, directory, variables, lines):
    done = cli("whoami", **variables)
    assert done.text.splitlines() == [*lines, f"data: {directory}, MILESTONE_DIR is set"]


def test_whoami_is_no_shell_function():
    assert [op.shell for op in all_operations() if op.name == "whoami"] == [False]
