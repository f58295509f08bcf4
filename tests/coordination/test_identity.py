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


@pytest.mark.parametrize("words, instead", [
    (["get_agent_messages", "--wait", "0"], ["get_agent_messages", "scope-1", "--wait", "0"]),
    (["get_agent_messages", "--wait=0", "true"], None), (["agent_heartbeat", "--cpu", "97"], ""),
    (["list_agent_state", "--json"], ["list_agent_state", "scope-1", "--json"]),
    (["update_agent_status", "--json"], ["update_agent_status", "scope-1", "--json"]),
    (["list_agent_state", "--json", "coord-1"], ["list_agent_state", "coord-1", "--json"]),
    (["get_session_status", "--json"], ["get_session_status", "planning-1", "--json"]),
    (["create_agent_checkpoint", "--json"], None),
])
@pytest.mark.parametrize("surface", [[], ["--from-shell"]])
def test_an_option_is_no_id_where_the_environment_has_one(scene, cli, surface, words, instead):
    done = cli(*surface, *words, AGENT_ID="scope-1", SESSION_ID="planning-1")
    if instead is None:
        assert done.status == (2 if "true" in words else 0)
    else:
        assert (done.status, done.text, done.err) == (0, cli(*surface, *instead).text if instead else "", "")
    assert {row["agent_id"] for row in scene.list_session_agents("planning-1")} == {"coord-1", "scope-1"}


@pytest.mark.parametrize("who", [{}, {"AGENT_ID": "scope-1"}])
@pytest.mark.parametrize("words, told", [
    (["get_agent_messages", "true"], "get_agent_messages AGENT_ID true"),
    (["get_agent_messages", "false", "--wait", "0"], "get_agent_messages AGENT_ID false"),
    (["get_agent_messages", "true", "1"], "get_agent_messages AGENT_ID true 1"),
    (["create_agent_checkpoint", "manual"], "create_agent_checkpoint AGENT_ID manual"),
    (["create_agent_checkpoint", "manual", "a b"], "create_agent_checkpoint AGENT_ID manual 'a b'"),
    (["agent_heartbeat", "healthy"], "agent_heartbeat AGENT_ID healthy"),
    (["update_agent_status", "completed"], "update_agent_status AGENT_ID completed"),
])
@pytest.mark.parametrize("surface", [[], ["--from-shell"]])
def test_what_stands_where_the_id_is_missing_is_no_id(scene, cli, dump, surface, words, told, who):
    before = dump()
    done, form = cli(*surface, *words, **who), told.replace("AGENT_ID", who.get("AGENT_ID", "AGENT_ID"))
    assert (done.status, done.text, done.err) == (2, "", f"milestone_persist: AGENT_ID is missing: {form}\n")
    assert dump() == before


@pytest.mark.parametrize("words", [["list_agent_state", "--json"], ["agent_heartbeat", "--cpu", "97"],
                                   ["create_agent_checkpoint", "--json"], ["get_agent_messages", "--wait", "0"]])
def test_an_option_is_no_id_where_nothing_says_who_calls(scene, cli, dump, words):
    before = dump()
    for surface in ([], ["--from-shell"]):
        assert "AGENT_ID is missing" in cli(*surface, *words).err
    assert dump() == before


@pytest.mark.parametrize("name", ["true", "manual", "--json", "--wait", "active"])
def test_an_agent_may_have_any_name_all_the_same(scene, cli, name):
    scene.register_agent(name, "validation", "ms-1", "planning-1")
    surface = ["--from-shell"] if name.startswith("-") else []
    assert cli(*surface, "get_agent_messages", name, "true").text == "[]\n"
    assert cli(*surface, "agent_heartbeat", name, "healthy").status == 0
    assert cli("get_agent_messages", "--", name).text == "[]\n"


def test_help_and_errors_name_the_variable(cli):
    assert "(if it is left out: $AGENT_ID)" in cli("get-agent-messages", "--help").text
    assert "AGENT_ID is missing, and $AGENT_ID is not set" in cli("get-agent-messages").err
    assert cli("get-agent-messages", AGENT_ID="").status == 2


@pytest.mark.parametrize("surface", [[], ["--from-shell"]])
def test_an_agent_registers_in_the_session_of_its_environment(store, cli, surface):
    words = [*surface, "register_agent", "a", "validation", "ms-1"]
    assert cli(*words, SESSION_ID="validation-ms-1").text == "registered a (validation) in session validation-ms-1\n"
    assert " in session other again: " in cli(*words, "other", SESSION_ID="validation-ms-1").text
    assert "SESSION_ID is missing, and $SESSION_ID is not set: register_agent" in cli(*words).err
    assert "SESSION_ID is missing" in cli(*words, SESSION_ID="").err
    assert cli(*words, "--json", SESSION_ID="s").text.startswith("{")
    assert "MILESTONE_ID is missing: register_agent" in cli(*words[:-1], SESSION_ID="s", MILESTONE_ID="ms-1").err
    assert cli("help", "register_agent").text.count("$SESSION_ID") == 1


def test_only_looking_and_acting_for_oneself_take_an_id_from_the_environment():
    found = {op.name for op in all_operations() if any(p.variable for p in op.parameters)}
    assert {op.name for op in all_operations() if op.name in found and (op.creates or op.existing)} == {
        "update_agent_status", "agent_heartbeat", "get_agent_messages", "create_agent_checkpoint", "register_agent"}
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
    with scene.storage().transaction():  # so that nobody else can write
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
def test_whoami_tells_who_calls_and_how_that_is_known(scene, cli, directory, variables, lines):
    done = cli("whoami", **variables)
    assert done.text.splitlines() == [*lines, f"data: {directory}, MILESTONE_DIR is set"]


@pytest.mark.parametrize("name, quoted", [("a b", "'a b'"), ("$(x)", "'$(x)'"), ("it's", "'it'\\''s'")])
def test_whoami_prints_a_command_that_works(cli, name, quoted):
    assert f": register_agent {quoted} TYPE MILESTONE SESSION\n" in cli("whoami", AGENT_ID=name).text


def test_whoami_is_no_shell_function():
    assert [op.shell for op in all_operations() if op.name == "whoami"] == [False]


def test_a_session_that_is_not_there_names_what_is(store, cli):
    store.register_agent("exec-1", "validation", "ms-1", "execution-ms-1-1")
    assert cli("get-session-status", "exec-1").err.endswith(": that is an agent of execution-ms-1-1\n")
    assert cli("recover-milestone-session", "ms-1").err.endswith(
        ": that is a milestone, whose latest session is execution-ms-1-1\n")
    assert cli("get-session-status", "execution-ms-1").err.endswith(": did you mean execution-ms-1-1?\n")
    assert cli("get-session-status", "zzz").err.endswith(
        ": no id is like it; list_coordination_sessions shows those there are\n")
    assert cli("read-milestone-record", "zzz").err.endswith(
        ": no id is like it; list_milestones shows those there are\n")
