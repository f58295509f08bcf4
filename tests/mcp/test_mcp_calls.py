"""Calls of tools: arguments, results, notes, limits, waiting and cancelling, a store that moves meanwhile."""
from __future__ import annotations

import json
import shutil
import threading

import pytest
from conftest import FakeClock
from mcp_wire import META, said

from milestone_persist import open_store
from milestone_persist.mcp.calling import LONGEST_RESULT
from milestone_persist.mcp.instructions import INSTRUCTIONS
from milestone_persist.mcp.tools import CODEX_WAIT, CORE, DESTRUCTIVE, IDEMPOTENT, LONGEST_WAIT, choose_tools
from milestone_persist.registry import all_operations, find_operation

one_backend = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
AGENT = {"agent_id": "exec-ms-1-1", "agent_type": "milestone-executor", "milestone_id": "ms-1",
         "session_id": "execution-ms-1-1"}


def send(wire, payload, **more):
    return wire.call("send_agent_message", from_agent="coord-ms-1", to_agent="exec-ms-1-1",
                     message_type="task_assignment", payload=payload, **more)


class HeldClock(FakeClock):
    """A clock in which a sleep lasts until the test lets it go on; `is_asleep` tells that one has begun."""

    def __init__(self):
        super().__init__()
        self.is_asleep, self.may_go_on = threading.Event(), threading.Event()

    def sleep(self, seconds):
        self.is_asleep.set()
        assert self.may_go_on.wait(60)
        self.seconds += seconds


def test_the_road_of_a_message_and_of_a_result(wire, store, cli):
    """By tools and by the API in turn, on each backend: one store."""
    assert said(wire.call("register_agent", **AGENT))[0].startswith("registered exec-ms-1-1")
    sent = send(wire, {"phase": "design"})
    message_id = sent["structuredContent"]["result"]["id"]
    taken = wire.call("get_agent_messages", agent_id="exec-ms-1-1", take=True)
    message, = taken["structuredContent"]["result"]
    assert message["payload"] == {"phase": "design"} and message["id"] == message_id
    assert json.loads(said(taken)[0]) == [message]
    wire.call("save_agent_state", agent_id="exec-ms-1-1", state_key="task-1", value={"done": 1})
    assert store.load_agent_state("exec-ms-1-1", "task-1") == '{"done":1}'
    assert cli("load-agent-state", "exec-ms-1-1", "task-1").text == said(
        wire.call("load_agent_state", agent_id="exec-ms-1-1", state_key="task-1"))[0]
    store.send_agent_message("coord-ms-1", "exec-ms-1-1", "task_assignment", {"phase": "spec"})
    again = wire.call("get_agent_messages", agent_id="exec-ms-1-1", take=True)
    assert again["structuredContent"]["result"][0]["payload"] == {"phase": "spec"}
    assert f"acknowledged what exec-ms-1-1 took 0 s ago: {message_id} task_assignment" in said(again)[1]
    assert again["structuredContent"]["notes"] == said(again)[1:]
    assert wire.call("update_agent_status", agent_id="exec-ms-1-1", status="completed")["isError"] is False
    recovered = wire.call("recover_milestone_session", session_id="execution-ms-1-1")
    assert "present: task" in said(recovered)[0] and "structuredContent" not in recovered


@one_backend
def test_values_come_back_byte_for_byte(wire):
    for value in ("", "-", "--json", "a\nb\r\n\tc", "$(x) `y` 'z' \"w\" \\", "ü€😀\u2028", " 7 ", "{", "x" * 90_000):
        wire.call("save_agent_state", agent_id="a", state_key="k", value=value)
        assert said(wire.call("load_agent_state", agent_id="a", state_key="k")) == [value or "done"]


@one_backend
def test_what_a_model_gives_for_a_type_is_taken_if_it_can_only_mean_that(wire):
    assert wire.call("register_agent", **AGENT, capabilities=["a", "b"])["isError"] is False
    assert send(wire, '{"as": "text"}', priority="8")["isError"] is False
    assert send(wire, {"as": "object"}, priority=9.0, key=None)["isError"] is False
    taken = wire.call("get_agent_messages", agent_id="exec-ms-1-1", take="true", limit="5", wait="0")
    assert [row["priority"] for row in taken["structuredContent"]["result"]] == [9, 8]
    wire.call("save_agent_state", agent_id="a", state_key="list", value=[1, {"b": None}])
    assert said(wire.call("load_agent_state", agent_id="a", state_key="list")) == ['[1,{"b":null}]']
    wire.call("save_agent_state", agent_id="a", state_key="flag", value=False)
    assert said(wire.call("load_agent_state", agent_id="a", state_key="flag")) == ["false"]
    wire.call("register_agent", **{**AGENT, "agent_id": "other-7", "milestone_id": 7, "session_id": "execution-7"})
    assert "execution of 7" in said(wire.call("get_session_status", session_id="execution-7"))[0]


@one_backend
@pytest.mark.parametrize("name, arguments, words", [
    ("load_agent_state", {"agent_id": "a"}, "state_key is missing: load_agent_state needs agent_id, state_key"),
    ("load_agent_state", {"agent_id": "a", "state_key": "k", "statekey": 1}, "did you mean state_key?"),
    ("whoami", {"agent_id": "a"}, "has no argument 'agent_id': it takes none"),
    ("load_agent_state", {"agent_id": {}, "state_key": "k"}, "agent_id must be text, not an object"),
    ("load_agent_state", {"agent_id": True, "state_key": "k"}, "agent_id must be text, not true or false"),
    ("load_agent_state", {"agent_id": "a\nb", "state_key": "k"}, "holds a control character"),
    ("load_agent_state", {"agent_id": "a\0b", "state_key": "k"}, "NUL"),
    ("load_agent_state", {"agent_id": "\ud800", "state_key": "k"}, "not UTF-8"),
    ("load_agent_state", {"agent_id": "", "state_key": "k"}, "AGENT_ID is empty"),
    ("get_agent_messages", {"agent_id": "a", "limit": 1.5}, "LIMIT must be a whole number"),
    ("get_agent_messages", {"agent_id": "a", "limit": [1]}, "LIMIT must be a whole number"),
    ("get_agent_messages", {"agent_id": "a", "limit": 10 ** 30}, "LIMIT must be a whole number"),
    ("get_agent_messages", {"agent_id": "a", "take": "maybe"}, "TAKE must be true or false"),
    ("get_agent_messages", {"agent_id": "a", "take": 1}, "TAKE must be true or false"),
    ("get_agent_messages", {"agent_id": "a", "wait": "long"}, "--wait must be a number"),
    ("get_agent_messages", {"agent_id": "a", "wait": {}}, "--wait must be a number"),
    ("get_agent_messages", {"agent_id": "a", "wait": -1}, "--wait must be from 0 to"),
    ("send_agent_message", {"from_agent": "a", "to_agent": "b", "message_type": "task_assignment", "payload": []},
     "PAYLOAD must be an object"),
    ("send_agent_message", {"from_agent": "a", "to_agent": "b", "message_type": "task", "payload": {}},
     "did you mean task_assignment?"),
    ("create_agent_checkpoint", {"agent_id": "a", "files": [1]}, "files must be an array of strings"),
    ("export_coordination", {"file": "-"}, "file cannot be - here"),
    ("backup_coordination", {"file": "-"}, "file cannot be - here"),
    ("start_session_monitor", {"foreground": True}, "has no argument 'foreground'"),
])
def test_a_bad_argument_is_told_to_the_model_and_changes_nothing(wire, store, dump, name, arguments, words):
    before = dump()
    result = wire.call(name, **arguments)
    assert result["isError"] is True and words in said(result)[0] and "\n" not in said(result)[0]
    assert "structuredContent" not in result and dump() == before


@one_backend
def test_an_error_is_that_of_the_command_line(wire, cli):
    for name, *values in (("get_session_status", "none"), ("load_agent_state", "a", "k"),
                          ("recover_milestone_session", "none"), ("restore_agent_checkpoint", "none")):
        op = find_operation(name)
        result = wire.call(name, **dict(zip([p.name for p in op.positionals], values)))
        assert result["isError"] is True
        assert "milestone_persist: " + said(result)[-1] + "\n" == cli(op.command, *values).err


@one_backend
def test_data_beside_an_error_is_handed_out(wire, store):
    store.register_agent("a", "milestone-executor", "ms-1", "execution-ms-1-1")
    result = wire.call("doctor")
    assert said(result) and result["isError"] is False
    store.register_agent("p", "milestone-planner", "ms-1", "planning-ms-1-1")
    result = wire.call("validate_planning_artifacts", session_id="planning-ms-1-1")
    assert result["isError"] is True and "planning-scope" in said(result)[0]


@one_backend
def test_warnings_are_notes_beside_the_result(wire):
    result = wire.call("register_agent", **{**AGENT, "agent_type": "infra-context-discovery"})
    assert result["isError"] is False and "warning: " in said(result)[1] and "x-infra" in said(result)[1]


@one_backend
def test_who_one_is_may_be_in_the_environment(serve, environ):
    wire = serve(environ={**environ, "AGENT_ID": "exec-ms-1-1", "SESSION_ID": "execution-ms-1-1"})
    known = {name: value for name, value in AGENT.items() if name != "session_id"}
    assert wire.call("register_agent", **known)["isError"] is False
    assert wire.call("get_agent_messages")["structuredContent"]["result"] == []
    assert "exec-ms-1-1" in said(wire.call("get_session_status"))[0]
    listed = {tool["name"]: tool["inputSchema"] for tool in wire.now("tools/list")["tools"]}
    assert "required" not in listed["get_agent_messages"] and "required" not in listed["get_session_status"]
    assert listed["save_agent_state"]["required"] == ["agent_id", "state_key", "value"]


@one_backend
def test_the_thread_of_the_client_is_noted_where_it_names_one(wire, store):
    """As Codex does; in Claude Code the server has its session in the environment."""
    for meta, noted in (({"threadId": "thread-7"}, "thread-7"), ({}, None), ({"threadId": 7}, None),
                        ({"threadId": ""}, None), ({"threadId": "a\0b"}, None), ({"threadId": "\ud800"}, None)):
        wire.ask("tools/call", {"name": "register_agent", "arguments": AGENT, "_meta": {**META, **meta}})
        assert store.update_agent_status("exec-ms-1-1")["client_session"] == noted


@one_backend
def test_an_environment_that_cannot_be_is_told(serve, environ):
    result = serve(environ={**environ, "AGENT_ID": "a\nb"}).call("whoami")
    assert result["isError"] is True and "$AGENT_ID" in said(result)[0]


@one_backend
def test_messages_that_are_too_many_at_once_stay_in_the_inbox(wire, store):
    store.register_agent("a", "milestone-executor", "ms-1", "execution-ms-1-1")
    for _ in range(30):
        store.send_agent_message("c", "a", "task_assignment", {"text": "x" * 2000})
    first = wire.call("get_agent_messages", agent_id="a", take=True)
    assert len(said(first)[0]) < 20_500 and "more remain in the inbox" in said(first)[1]
    rest = wire.call("get_agent_messages", agent_id="a", take=True, max_bytes=1_000_000)
    assert len(first["structuredContent"]["result"]) + len(rest["structuredContent"]["result"]) == 30


@one_backend
def test_a_result_that_is_too_long_is_cut_and_says_so(wire, store):
    store.register_agent("a", "milestone-executor", "ms-1", "execution-ms-1-1")
    store.save_agent_state("a", "k", "ä" * LONGEST_RESULT)
    result = wire.call("load_agent_state", agent_id="a", state_key="k")
    assert len(said(result)[0].encode()) == LONGEST_RESULT and said(result)[1].startswith("cut: ")
    wire.call("send_agent_message", from_agent="a", to_agent="a", message_type="task_assignment",
              payload={"text": "x" * LONGEST_RESULT})
    taken = wire.call("get_agent_messages", agent_id="a", take=True)
    assert "structuredContent" not in taken and said(taken)[-1].startswith("cut: ")


@one_backend
def test_a_message_is_waited_for_and_others_are_served_meanwhile(serve, store, connect):
    clock = HeldClock()
    wire = serve(clock=clock)
    waiting = wire.begin_call("get_agent_messages", agent_id="a", take=True, wait=30)
    assert clock.is_asleep.wait(60)
    assert wire.ask("ping") == {} and wire.call("whoami")["isError"] is False
    assert wire.call("save_agent_state", agent_id="b", state_key="k", value="v")["isError"] is False
    connect().send_agent_message("b", "a", "task_assignment", {"n": 1})
    clock.may_go_on.set()
    answer = wire.read()
    assert answer["id"] == waiting and answer["result"]["structuredContent"]["result"][0]["payload"] == {"n": 1}


@one_backend
def test_a_wait_that_is_cancelled_takes_nothing_and_is_not_answered(serve, store):
    clock = HeldClock()
    wire = serve(clock=clock)
    waiting = wire.begin_call("get_agent_messages", agent_id="a", take=True, wait=30)
    assert clock.is_asleep.wait(60)
    wire.cancel(waiting)
    assert wire.ask("ping") == {}  # so the cancellation was read
    store.send_agent_message("b", "a", "task_assignment", {"n": 1})
    clock.may_go_on.set()
    assert wire.end() == []
    assert [row["payload"] for row in store.get_agent_messages("a")] == [{"n": 1}]


@one_backend
def test_what_was_taken_for_a_request_that_was_withdrawn_meanwhile_is_requeued(serve, store, environ):
    class Withdrawing(FakeClock):
        """Withdraws the request in the midst of the call, as late as can be told from outside."""

        def monotonic(self):
            if self.during_sleep:
                action, self.during_sleep = self.during_sleep, None
                action()
            return self.seconds

    clock = Withdrawing()
    wire = serve(clock=clock)
    store.register_agent("a", "milestone-executor", "ms-1", "execution-ms-1-1")
    store.send_agent_message("b", "a", "task_assignment", {"n": 1})
    clock.during_sleep = lambda: wire.server.requests.cancel(1)
    wire.begin_call("get_agent_messages", agent_id="a", take=True)
    assert wire.end() == []
    row, = store.get_agent_messages("a")
    assert row["payload"] == {"n": 1} and row["retry_count"] == 0


@one_backend
def test_what_was_taken_for_a_client_that_has_gone_is_requeued(serve, store):
    wire = serve()
    store.register_agent("a", "milestone-executor", "ms-1", "execution-ms-1-1")
    store.send_agent_message("b", "a", "task_assignment", {"n": 1})
    wire.streams[1].close()  # nothing can be written any more
    wire.begin_call("get_agent_messages", agent_id="a", take=True)
    wire.thread.join(60)
    assert not wire.thread.is_alive()
    row, = store.get_agent_messages("a")
    assert row["payload"] == {"n": 1} and row["retry_count"] == 0


@one_backend
def test_a_request_that_was_withdrawn_before_its_turn_is_not_carried_out(serve, store):
    wire = serve()
    with store.storage().transaction("config"):  # another writer holds the store
        first = wire.begin_call("save_agent_state", agent_id="a", state_key="k", value="1")
        second = wire.begin_call("save_agent_state", agent_id="a", state_key="k", value="2")
        wire.cancel(second)
        assert wire.ask("ping") == {}
    assert [answer["id"] for answer in wire.end()] == [first]
    assert store.load_agent_state("a", "k") == "1"


@one_backend
def test_an_id_that_is_under_way_is_not_taken_twice(serve, store):
    clock = HeldClock()
    wire = serve(clock=clock)
    call = {"name": "get_agent_messages", "arguments": {"agent_id": "a", "wait": 5}, "_meta": META}
    wire.begin("tools/call", call, 7)
    assert clock.is_asleep.wait(60)
    wire.begin("tools/call", {"name": "save_agent_state", "arguments": {
        "agent_id": "a", "state_key": "k", "value": "v"}, "_meta": META}, 7)
    assert wire.read()["error"]["code"] == -32600
    wire.begin("ping", {}, "7")
    assert wire.read() == {"jsonrpc": "2.0", "id": "7", "result": {}}
    clock.may_go_on.set()
    assert wire.read()["result"]["structuredContent"]["result"] == []
    assert wire.call("load_agent_state", agent_id="a", state_key="k")["isError"] is True


@one_backend
def test_a_longer_wait_is_cut_short_and_says_so(wire, clock):
    wire.call("initialize_agent_coordination")
    began = clock.seconds
    result = wire.call("get_agent_messages", agent_id="a", take=True, wait=3600)
    assert clock.seconds - began < LONGEST_WAIT + 1 and result["structuredContent"]["result"] == []
    assert said(result)[1] == f"a call waits {LONGEST_WAIT} seconds at most here, not 3600: call it again to wait on"
    assert said(wire.call("get_agent_messages", agent_id="a", take=True, wait=LONGEST_WAIT)) == ["[]\n"]
    began = clock.seconds
    waiting = {"name": "get_agent_messages", "arguments": {"agent_id": "a", "take": True, "wait": LONGEST_WAIT}}
    result = wire.ask("tools/call", {**waiting, "_meta": {**META, "threadId": "thread-7"}})  # as Codex
    assert clock.seconds - began < CODEX_WAIT + 1 and said(result)[1].startswith(f"a call waits {CODEX_WAIT} seconds")


@one_backend
def test_what_waits_at_the_end_is_told_and_takes_nothing(serve, store):
    clock = HeldClock()
    wire = serve(clock=clock)
    waiting = wire.begin_call("get_agent_messages", agent_id="a", take=True, wait=30)
    assert clock.is_asleep.wait(60)
    wire.close()
    clock.may_go_on.set()
    answer, = wire.end()
    assert answer["id"] == waiting and answer["error"]["code"] == -32603


@one_backend
def test_a_lock_is_waited_for_apart_too(serve, store):
    store.acquire_milestone_lock("ms-1", owner="other")
    clock = HeldClock()
    wire = serve(clock=clock)
    waiting = wire.begin_call("acquire_milestone_lock", milestone_id="ms-1", owner="me")
    assert clock.is_asleep.wait(60)
    assert wire.call("whoami")["isError"] is False
    store.release_milestone_lock("ms-1", owner="other")
    clock.may_go_on.set()
    answer = wire.read()
    assert answer["id"] == waiting and answer["result"]["isError"] is False


def test_the_store_is_followed_wherever_it_goes(wire, store, backend):
    other = "file" if backend != "file" else "hybrid"
    wire.call("save_agent_state", agent_id="a", state_key="k", value="1")
    store.environ.pop("MILESTONE_BACKEND", None)
    if backend != "postgresql":
        store.migrate_storage_backend(other)
        assert said(wire.call("load_agent_state", agent_id="a", state_key="k")) == ["1"]
        assert said(wire.call("get_current_storage_backend"))[0] == other + "\n"
    wire.call("save_agent_state", agent_id="a", state_key="k", value="2")
    assert store.load_agent_state("a", "k") == "2"


@one_backend
def test_a_store_that_was_removed_and_made_again_is_found(serve, directory, environ, clock):
    wire = serve()
    wire.call("save_agent_state", agent_id="a", state_key="k", value="1")
    shutil.rmtree(directory)
    assert wire.call("load_agent_state", agent_id="a", state_key="k")["isError"] is True
    assert not directory.exists()
    with open_store(directory, clock=clock, environ=environ) as store:
        store.save_agent_state("a", "k", "2")
    assert said(wire.call("load_agent_state", agent_id="a", state_key="k")) == ["2"]


@one_backend
def test_a_restored_backup_is_what_is_read_next(wire, store, tmp_path):
    store.save_agent_state("a", "k", "1")
    wire.call("backup_coordination", file=str(tmp_path / "b.db"))
    wire.call("save_agent_state", agent_id="a", state_key="k", value="2")
    store.restore_coordination(str(tmp_path / "b.db"))
    assert said(wire.call("load_agent_state", agent_id="a", state_key="k")) == ["1"]


@one_backend
def test_looking_makes_no_store(serve, directory):
    wire = serve()
    for name in ("list_coordination_sessions", "detect_interrupted_sessions", "where", "list_milestones"):
        assert wire.call(name)["isError"] is False
    wire.now("resources/list")
    wire.now("resources/read", {"uri": "milestone://sessions"})
    assert not directory.exists()
    made = wire.call("register_agent", **AGENT)
    assert f"made the data directory {directory} (backend hybrid)" in said(made)[1]


@one_backend
def test_no_transaction_and_no_file_is_held_between_calls(wire, store, directory):
    wire.call("register_agent", **AGENT)
    with store.storage().transaction("config"):  # would wait in vain for one that is open
        pass
    assert not [path for path in directory.rglob("*") if path.suffix in (".db-journal",)]


@one_backend
def test_a_store_that_cannot_be_used_is_told(serve, tmp_path):
    (tmp_path / "file").write_text("")
    wire = serve(directory=tmp_path / "file")
    result = wire.call("list_coordination_sessions")
    assert result["isError"] is True and str(tmp_path / "file") in said(result)[0]
    assert wire.now("resources/list")["code"] == -32603
    assert wire.now("resources/read", {"uri": "milestone://sessions"})["code"] == -32603


@one_backend
def test_many_calls_in_one(wire, store):
    store.register_agent("a", "milestone-executor", "ms-1", "execution-ms-1-1")
    done = wire.call("batch", operations=[
        {"name": "save_agent_state", "arguments": {"agent_id": "a", "state_key": "k", "value": "v"}},
        {"name": "send_agent_message", "arguments": {"from_agent": "a", "to_agent": "a", "message_type": "x-a",
                                                     "payload": {"n": 1}}}])
    assert done["isError"] is False
    sent = wire.call("send_many", from_agent="a", messages=[
        {"to_agent": "a", "message_type": "x-a", "payload": {"n": 2}}])
    assert sent["isError"] is False
    assert [row["payload"]["n"] for row in store.get_agent_messages("a")] == [1, 2]
    assert store.load_agent_state("a", "k") == "v"


@one_backend
def test_a_fault_of_the_program_is_one_line(wire, monkeypatch):
    monkeypatch.setattr(find_operation("whoami"), "function", lambda store: 1 // 0)
    result = wire.call("whoami")
    assert result["isError"] is True and said(result)[0].startswith("internal error: ZeroDivisionError")
    assert wire.call("where")["isError"] is False


@one_backend
def test_what_was_done_is_said_where_the_answer_cannot_be_made(wire, store, monkeypatch):
    def fail(form):
        raise MemoryError

    wire.call("register_agent", **AGENT)
    with monkeypatch.context() as patched:
        patched.setattr("milestone_persist.cli.text.find_renderer", fail)
        sent = send(wire, {"n": 1})
        taken = wire.call("get_agent_messages", agent_id="exec-ms-1-1", take=True)
    assert sent["isError"] and "send_agent_message is done, do not repeat it" in said(sent)[-1]
    assert taken["isError"] and "in the inbox again" in said(taken)[-1]
    assert [message["payload"] for message in store.get_agent_messages("exec-ms-1-1")] == [{"n": 1}]


@one_backend
def test_what_is_to_be_run_next_and_is_no_tool_here_is_named(serve, store):
    store.register_agent("e", "milestone-executor", "ms-1", "execution-ms-1-1")
    store.update_agent_status("e", "failed")
    few, all_of_them = serve(tools="core"), serve()
    told = said(few.call("recover_milestone_session", session_id="execution-ms-1-1"))
    assert "restart_milestone_execution execution-ms-1-1" in told[0]
    note, = told[1:]
    assert note.startswith("no tools here, but commands (") and "restart_milestone_execution" in note
    assert "resume_execution_from_phase" not in note
    assert len(said(all_of_them.call("recover_milestone_session", session_id="execution-ms-1-1"))) == 1
    sent = few.call("send_agent_message", from_agent="e", to_agent="all", message_type="task_assignment", payload={})
    assert "broadcast_agent_message e TYPE PAYLOAD" in said(sent)[1].splitlines()[0]
    assert said(sent)[1].splitlines()[1].startswith("no tools here, but commands (")
    store.save_agent_state("e", "k", " restart_milestone_execution x")
    assert len(said(few.call("load_agent_state", agent_id="e", state_key="k"))) == 1


@one_backend
def test_resources_are_the_sessions_and_what_is_told_of_them(wire, store):
    store.register_agent("ä b", "milestone-executor", "ms-1", "execution-ms/1 ü%20-1")
    listed = wire.now("resources/list")["resources"]
    assert [row["uri"] for row in listed] == ["milestone://sessions"] + [
        f"milestone://sessions/execution-ms%2F1%20%C3%BC%2520-1/{what}" for what in ("status", "report")]
    for row in listed:
        content, = wire.now("resources/read", {"uri": row["uri"]})["contents"]
        assert content["uri"] == row["uri"] and content["mimeType"] == row["mimeType"]
        assert "execution-ms/1 ü%20-1" in content["text"]
    templates = wire.now("resources/templates/list")["resourceTemplates"]
    assert [row["uriTemplate"].format(session_id="execution-ms%2F1%20%C3%BC%2520-1") for row in templates] == [
        row["uri"] for row in listed[1:]]


@one_backend
@pytest.mark.parametrize("uri", ["", "x", "milestone://", "milestone://sessions/", "milestone://sessions/none/status",
                                 "milestone://sessions/none/report", "milestone://sessions/a/b/status",
                                 "milestone://sessions/a/none", "milestone://sessions/%00/status",
                                 "milestone://sessions/%ff/status", "milestone://sessions//status", "file:///etc/passwd",
                                 "xmilestone://sessions/a/status"])
def test_a_resource_that_is_not_there_is_an_error_of_its_era(wire, store, uri):
    error = wire.now("resources/read", {"uri": uri})
    assert error["code"] == -32602 and error["data"] == {"uri": uri}
    assert wire.now("resources/read", {"uri": 7})["code"] == -32602
    wire.ask("initialize", {"protocolVersion": "2025-11-25"})
    assert wire.ask("resources/read", {"uri": uri})["code"] == -32002


def test_the_instructions_are_as_short_as_clients_show_them_and_name_tools_of_the_core():
    assert len(INSTRUCTIONS.encode()) <= 2048
    names = {op.name for op in all_operations()}
    words = {word.strip(".,;:`(){}") for word in INSTRUCTIONS.split()}
    named = {word for word in words & names if "_" in word}
    assert {"register_agent", "get_agent_messages", "recover_milestone_session"} <= named <= {*CORE}


def test_tools_are_chosen_by_sets_and_by_names():
    everything = [op.name for op in choose_tools("all")]
    assert {op.name for op in choose_tools("core")} == {*CORE} <= {*everything}
    assert [op.name for op in choose_tools("whoami, register-agent")] == ["register_agent", "whoami"]
    assert [op.name for op in choose_tools("all,core")] == everything
    assert {*DESTRUCTIVE} | {*IDEMPOTENT} <= {*everything}


@one_backend
@pytest.mark.parametrize("words", ["", ",", "none", "core,none", "install", "mcp"])
def test_a_choice_that_is_none_is_refused_before_anything_is_read(cli, words):
    refused = cli("mcp", "--tools", words)
    assert refused.status == 2 and "--tools" in refused.err and refused.out == b""


@one_backend
def test_the_list_says_what_a_client_needs_to_know(wire):
    listed = {tool["name"]: tool for tool in wire.now("tools/list")["tools"]}
    assert [*listed] == [op.name for op in choose_tools("all")]
    for name, tool in listed.items():
        op, schema, hints = find_operation(name), tool["inputSchema"], tool["annotations"]
        assert tool["description"].startswith(op.summary) and schema["type"] == "object"
        assert {*schema.get("required", [])} == {p.name for p in op.parameters if p.required}
        assert all(shape["type"] and shape["description"] for shape in schema["properties"].values())
        assert all("items" in shape for shape in schema["properties"].values() if shape["type"] == "array")
        assert "stdin" not in json.dumps(schema)
        assert hints["readOnlyHint"] is not (bool(op.creates) or bool(op.existing)) and hints["openWorldHint"] is False
        assert hints.get("destructiveHint", False) is (name in DESTRUCTIVE)
    sending = listed["send_agent_message"]["inputSchema"]["properties"]
    assert sending["payload"]["type"] == "object" and "standard input" not in sending["payload"]["description"]
    assert "enum" not in sending["message_type"] and "phase_transition" in sending["message_type"]["description"]
    status = listed["update_agent_status"]["inputSchema"]["properties"]["status"]
    assert "completed" in status["enum"]
    assert listed["get_agent_messages"]["inputSchema"]["properties"]["wait"]["maximum"] == LONGEST_WAIT
    assert listed["create_agent_checkpoint"]["inputSchema"]["properties"]["files"] == {
        "type": "array", "items": {"type": "string"}, "description": "files whose size and SHA-256 are stored, to show "
        "later which have changed"}
    assert listed["whoami"]["inputSchema"] == {"type": "object", "properties": {}}


@one_backend
def test_the_tools_that_are_offered_at_first_cost_few_tokens(serve):
    assert len(json.dumps(serve(tools="core").now("tools/list"))) < 18_000
