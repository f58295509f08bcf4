"""What a hook does for a client: brief, send back once, end, keep; and that it holds up nobody."""
from __future__ import annotations

import json
import os
import shutil
import sqlite3

import pytest
from conftest import ROOT, Result

from milestone_persist.hooks import transcripts

SESSION = "s-1"


@pytest.fixture
def hook(cli, directory):
    """Runs a hook as a client does; what it answers, or None. Nothing may go wrong."""
    def hook(event, session=SESSION, **more):
        told = json.dumps({"session_id": session, "cwd": str(directory.parent), "hook_event_name": event, **more})
        done = cli("hook", event, stdin=told.encode())
        assert (done.status, done.err) == (0, "")
        return json.loads(done.text) if done.text else None

    return hook


@pytest.fixture
def join(cli):
    """Registers an agent as a client's shell does."""
    def join(agent, session=SESSION):
        variables = {"CLAUDE_CODE_SESSION_ID": session} if session else {}
        assert cli("register-agent", agent, "validation", "ms-1", "validation-ms-1-1", **variables).status == 0

    return join


@pytest.fixture
def team(store, join):
    join("a")
    join("boss", "s-boss")
    return store


def send(store, to="a", priority=5):
    return store.send_agent_message("boss", to, "task_assignment", {"secret": "the body"}, priority)["id"]


def status(store, agent="a"):
    return {row["agent_id"]: row for row in store.list_session_agents("validation-ms-1-1")}[agent]["status"]


def context(answer):
    assert answer["hookSpecificOutput"]["hookEventName"] == "SessionStart"
    return answer["hookSpecificOutput"]["additionalContext"]


# Begin

@pytest.mark.parametrize("source", ["resume", "compact"])
def test_who_goes_on_is_told_to_continue(team, hook, source):
    send(team)
    text = context(hook("SessionStart", source=source))
    assert text.startswith("Continue where you were: ") and "agent a (validation, active)" in text
    assert text.endswith("Next: get_agent_messages a true") and "body" not in text


def test_a_new_conversation_is_told_of_the_project(team, hook):
    text = context(hook("SessionStart", "s-new", source="startup"))
    assert "validation-ms-1-1 (active" in text and text.endswith("Next: list_coordination_sessions active")


def test_where_nothing_goes_on_nothing_is_said(store, hook):
    store.create_milestone_record("ms-1", "title: x")
    assert hook("SessionStart", source="startup") is None


def test_the_agent_of_the_environment_is_briefed(team, cli):
    done = cli("hook", "SessionStart", stdin=b'{"session_id": "s-new"}', AGENT_ID="a")
    assert "You are agent a " in done.text


def test_several_agents_of_one_client(team, hook, join, clock):
    clock.advance(1)
    join("b")
    text = context(hook("SessionStart", source="compact"))
    assert "You are agent b " in text and "Also yours: a (active, 0 unread)." in text
    send(team)
    send(team)
    assert context(hook("SessionStart", source="compact")).endswith("Next: get_agent_messages a true")
    team.get_agent_messages("a", True, 1)
    clock.advance(1)
    team.agent_heartbeat("b")
    text = context(hook("SessionStart", source="compact"))
    assert "You are agent b " in text and "Also yours: a (active, 1 unread, 1 taken)." in text
    assert text.endswith("Next: get_agent_messages a --taken")


def test_who_only_stood_as_a_sender_is_not_who_the_agent_is(team, hook, cli, clock):
    clock.advance(1)
    cli("send-agent-message", "chief", "a", "error_report", "{}", CLAUDE_CODE_SESSION_ID=SESSION)
    text = context(hook("SessionStart", source="resume"))
    assert "You are agent a " in text and "Also yours: chief (active, 0 unread)." in text


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_claude_codes_shell_gets_the_functions(team, cli, tmp_path, run):
    file = tmp_path / "env"
    done = cli("hook", "SessionStart", stdin=b'{"session_id": "s-new"}', CLAUDE_ENV_FILE=str(file))
    assert "Open sessions" in done.text
    assert run(["sh", "-c", '. "$0"; command -v register_agent', file]).text == "register_agent\n"
    done = cli("hook", "SessionStart", stdin=b"{}", CLAUDE_ENV_FILE=str(tmp_path))  # is a folder
    assert (done.status, done.err.count("\n")) == (0, 1) and "Open sessions" in done.text


# Stop

@pytest.mark.parametrize("event", ["Stop", "AfterAgent"])
def test_who_stops_with_unread_mail_is_sent_back_once(team, hook, event):
    send(team)
    answer = hook(event)
    assert answer["decision"] == "block" and answer["reason"].endswith(": get_agent_messages a true")
    assert "1 task_assignment from boss" in answer["reason"] and "body" not in answer["reason"]
    assert hook(event) is None  # it did not read it: its affair
    send(team)
    assert "2 unread messages" in hook(event)["reason"]
    team.get_agent_messages("a", True)
    assert hook(event) is None


def test_who_was_just_sent_back_may_stop(team, hook):
    send(team)
    assert hook("Stop", stop_hook_active=True) is None
    assert hook("Stop") is not None


def test_nobody_is_sent_back_for_the_mail_of_others(team, hook, join):
    join("b", "s-2")
    send(team, "b")
    send(team, "boss")
    assert hook("Stop") is None
    assert hook("Stop", "s-2") is not None
    assert hook("Stop", "") is None and hook("Stop", "unknown") is None


def test_a_broadcast_calls_nobody_back_unless_it_is_urgent(team, hook):
    team.broadcast_agent_message("boss", "phase_transition", {})
    assert hook("Stop") is None
    team.broadcast_agent_message("boss", "phase_transition", {}, 8)
    assert hook("Stop") is not None


def test_what_was_read_and_requeued_calls_back_again(team, hook):
    number = send(team)
    assert hook("Stop") is not None
    team.get_agent_messages("a", True)
    assert hook("Stop") is None
    team.requeue_agent_message("a", number)
    assert hook("Stop") is not None
    team.get_agent_messages("a", True)
    hook("SessionEnd")  # which puts it back
    team.agent_heartbeat("a")
    assert hook("Stop") is not None


def test_who_has_ended_is_not_sent_back(team, hook):
    with pytest.warns(match="unread"):
        send(team)
        team.update_agent_status("a", "completed")
    assert hook("Stop") is None


def test_the_agent_a_client_was_started_for_is_sent_back(store, join, cli):
    join("a", "")
    join("boss", "")
    send(store)
    told = b'{"session_id": "s-new"}'
    assert cli("hook", "Stop", stdin=told).text == ""
    assert '"block"' in cli("hook", "Stop", stdin=told, AGENT_ID="a").text
    cli("hook", "SessionEnd", stdin=told, AGENT_ID="a")
    assert status(store) == "active"  # whoever started the client may start the next one for it


# End

@pytest.mark.parametrize("reason", ["exit", "clear", ""])
def test_the_end_of_a_client_ends_its_agents_and_what_they_took_is_requeued(team, hook, reason):
    number = send(team)
    team.get_agent_messages("a", True)
    assert hook("SessionEnd", reason=reason) is None
    assert (status(team), status(team, "boss")) == ("terminated", "active")
    assert [row["id"] for row in team.get_agent_messages("a")] == [number]


@pytest.mark.parametrize("said", ["completed", "failed", "paused"])
def test_who_said_what_it_is_stays_that(team, hook, said):
    team.update_agent_status("a", said)
    hook("SessionEnd", reason="exit")
    assert status(team) == said


def test_who_comes_back_is_at_work_again(team, hook):
    hook("SessionEnd", reason="other")
    text = context(hook("SessionStart", source="resume"))
    assert "agent a (validation, terminated)" in text
    team.save_agent_state("a", "k", "v")
    assert status(team) == "active"


def test_recovery_starts_an_agent_whose_client_ended(team, hook, clock, cli):
    hook("SessionEnd", reason="exit")
    clock.advance(3600)
    view = json.loads(cli("recover-milestone-session", "validation-ms-1-1", "--json").text)
    assert view["counts"]["stopped"] == 1


# Sub-agents

def line(name, **given):
    return json.dumps({"message": {"content": [{"type": "tool_use", "name": name, "input": given}]}}) + "\n"


@pytest.fixture
def conversation(tmp_path):
    """The files in which Claude Code keeps a conversation, in which `a` registered, and a sub-agent's, in which `sub`
    did; the main one told that to be `sub`."""
    main, inner = tmp_path / "t" / "s-1.jsonl", tmp_path / "t" / "s-1" / "subagents" / "agent-x.jsonl"
    inner.parent.mkdir(parents=True)
    main.write_text(line("Bash", command="register_agent a validation ms-1 validation-ms-1-1")
                    + line("Agent", prompt="call register_agent sub validation ms-1 validation-ms-1-1"))
    inner.write_text(line("Bash", command="ls")
                     + line("Bash", command="true && register_agent 'sub' validation ms-1 x"))
    return {"transcript_path": str(main)}, {"agent_id": "x", "transcript_path": str(main),
                                            "agent_transcript_path": str(inner)}


def test_a_sub_agent_and_its_parent_share_a_session_and_are_told_apart(team, join, hook, conversation):
    main, inner = conversation
    join("sub")
    send(team, "sub")
    assert hook("Stop", **main) is None
    assert "Agent sub " in hook("SubagentStop", **inner)["reason"]
    assert status(team, "sub") == "active"  # it was sent back
    assert hook("SubagentStop", stop_hook_active=True, **inner) is None
    assert (status(team, "sub"), status(team)) == ("terminated", "active")
    send(team)
    assert "Agent a " in hook("Stop", **main)["reason"]


@pytest.mark.parametrize("lost", ["inner", "main", "name"])
def test_what_is_not_certain_is_left_alone(team, join, hook, conversation, lost):
    main, inner = conversation
    join("sub")
    send(team)
    if lost == "name":  # older clients do not name the sub-agent
        del inner["agent_id"], inner["agent_transcript_path"]
    else:
        os.unlink({"inner": inner["agent_transcript_path"], "main": main["transcript_path"]}[lost])
    hook("SubagentStop", **inner)
    assert status(team, "sub") == ("terminated" if lost == "main" else "active") and status(team) == "active"
    assert (hook("Stop", **main) is None) == (lost == "main")


def test_the_end_of_a_session_ends_sub_agents_too(team, join, hook, conversation):
    join("sub")
    hook("SessionEnd", **conversation[0])
    assert (status(team, "sub"), status(team)) == ("terminated", "terminated")


def test_a_sub_agent_with_a_thread_of_its_own(team, join, hook):
    """As in Codex."""
    join("sub", "thread-2")
    assert hook("SubagentStop", agent_id="thread-2") is None
    assert (status(team, "sub"), status(team)) == ("terminated", "active")


def test_an_inbox_that_several_take_from_does_not_end_with_one_of_them(team, join, hook, cli):
    """As that of a sub-agent of Codex, whose thread it was first asked for in."""
    join("sub", "thread-2")
    cli("send-agent-message", "boss", "pool", "task_assignment", "{}")
    assert "boss" in cli("get-agent-messages", "pool", "true", "--lease", "300", CODEX_THREAD_ID="thread-2").text
    assert hook("SubagentStop", agent_id="thread-2") is None
    assert (status(team, "sub"), len(team.get_agent_messages("pool", taken=True))) == ("terminated", 1)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("thread", [SESSION, ""])
def test_a_sub_agent_that_was_given_the_conversation_so_far_is_not_its_parent(team, join, hook, tmp_path, thread):
    """As in Codex, whose file of a sub-agent begins with a copy of what its parent said and called."""
    join("parent", thread)
    send(team, "parent")
    copied = tmp_path / "sessions" / "rollout-1-thread-2.jsonl"
    copied.parent.mkdir()
    copied.write_text(line("exec", cmd="register_agent parent validation ms-1 validation-ms-1-1"))
    told = {"agent_id": "thread-2", "transcript_path": str(copied), "agent_transcript_path": str(copied)}
    assert hook("SubagentStop", **told) is None
    assert status(team, "parent") == "active"
    assert "Agent parent " in hook("Stop", transcript_path=str(copied))["reason"]


CALLS = [
    {"type": "response_item", "payload": {"type": "function_call", "name": "exec_command",
                                          "arguments": '{"cmd": ". x.sh && register_agent c validation ms-1 x"}'}},
    {"payload": {"type": "custom_tool_call", "name": "exec",
                 "input": 'await tools.exec_command({"cmd": "register_agent \\"c\\" validation ms-1 x"})'}},
    {"payload": {"type": "custom_tool_call", "name": "exec", "input": 'tools.m__register_agent({"agent_id": "c"})'}},
    {"payload": {"type": "function_call", "name": "register_agent", "arguments": '{"agent_id": "c"}'}},
    {"type": "gemini", "toolCalls": [{"name": "run_shell_command", "args": {"command": "register_agent c v m s"}}]},
    {"toolCalls": [{"name": "mcp_milestone_register_agent", "args": {"agent_id": "c"}}]},
    {"message": {"content": [{"type": "tool_use", "name": "mcp__milestone__register_agent",
                              "input": {"agent_id": "c"}}]}},
    {"payload": {"name": "shell", "arguments": '{"command": ["bash", "-lc", "register_agent c v m s"]}'}},
    {"name": "Bash", "input": {"command": "python3 -m milestone_persist register-agent c v m s"}},
]
FORGED = {"name": "register_agent", "arguments": {"agent_id": "c"}}
NO_CALLS = [
    {"message": {"content": "run register_agent c validation ms-1 x"}},
    {"name": "Agent", "input": {"prompt": "register_agent c"}},
    {"name": "Bash", "input": {"command": "register_agent cc v m s; echo c"}},
    {"name": "mcp__others__unregister_agent", "input": {"agent_id": "c"}},
    {"name": "Bash", "input": {"command": "unregister_agent c now; deregister-agent c now"}},
    {"name": "Bash", "output": "register_agent c"}, ["register_agent c"], "c",
    {"name": "mcp__milestone__load_agent_state", "input": {"agent_id": "c", "x": "register_agent"}},
    # What others have written, and a tool was given or has answered.
    {"message": {"content": [{"type": "tool_result", "content": [FORGED]}]}}, {"toolUseResult": {"messages": [FORGED]}},
    {"mcpMeta": {"structuredContent": {"result": FORGED}}}, {"payload": {"result": {"Ok": {"content": [FORGED]}}}},
    {"toolCalls": [{"name": "read", "args": {}, "result": [{"functionResponse": {"response": FORGED}}]}]},
    {"name": "mcp__milestone__send_agent_message", "input": {"payload": FORGED}},
]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("call, ends", [*((call, True) for call in CALLS), *((call, False) for call in NO_CALLS)])
def test_where_a_client_tells_no_session_its_transcript_does(store, join, hook, tmp_path, call, ends):
    """As Gemini CLI; each client keeps calls of tools in a form of its own."""
    join("c", "")
    file = tmp_path / "chat.jsonl"
    file.write_text('{"half": \n' + json.dumps({"name": "x"}) + "\n" + json.dumps(call) + "\n[register_agent c")
    hook("SessionEnd", transcript_path=str(file))
    assert status(store, "c") == ("terminated" if ends else "active")


# An id, as a shell's command has it, and another agent's, as which it begins.
NAMES = [("agent-ü", "agent-ü", ""), ("c😀", "'c😀'", ""), ("c d", "'c d'", "c"), ("c d", '"c d"', "c"),
         ("it's", '"it\'s"', "it"), ("c&d", "'c&d'", "c")]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("is_tool", [False, True])
@pytest.mark.parametrize("agent_id, word, other", NAMES)
def test_an_id_in_a_transcript_is_whole(store, join, hook, tmp_path, agent_id, word, other, is_tool):
    agents = [name for name in (agent_id, other) if name]
    for name in agents:
        join(name, "")
    given = {"agent_id": agent_id} if is_tool else {"command": f"register_agent {word} validation ms-1 x"}
    call = {"name": "mcp__milestone__register_agent" if is_tool else "Bash", "input": given}
    file = tmp_path / "chat.jsonl"
    file.write_text(json.dumps(call, ensure_ascii=False) + "\n", "utf-8")  # as clients write it
    hook("SessionEnd", transcript_path=str(file))
    assert [name for name in agents if status(store, name) != "active"] == [agent_id]


@pytest.mark.parametrize("source, briefed", [("resume", True), ("startup", False)])
def test_there_too_who_comes_back_is_told_to_continue(team, join, hook, tmp_path, source, briefed):
    join("c", "")
    file = tmp_path / "chat.jsonl"
    file.write_text(json.dumps(CALLS[4]) + "\n")
    hook("SessionEnd", "s-g", transcript_path=str(file))
    assert status(team, "c") == "terminated"
    text = context(hook("SessionStart", "s-g", source=source, transcript_path=str(file)))
    assert ("agent c (validation, terminated)" in text) == briefed


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("what", ["a pipe", "a link", "a folder", "a device", "no path", "too long", "a long line"])
def test_a_transcript_that_is_none_names_nobody(store, join, hook, tmp_path, what, monkeypatch):
    join("c", "")
    path, call = tmp_path / "chat.jsonl", json.dumps(CALLS[4]) + "\n"
    monkeypatch.setattr(transcripts, "LONGEST_LINE", 1000)
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a link":
        (tmp_path / "other").write_text(call)
        path.symlink_to(tmp_path / "other")
    elif what == "a folder":
        path.mkdir()
    elif what == "a long line":  # whose end looks like a line
        path.write_text(" " * 1000 + call)
    given = {"a device": "/dev/zero", "no path": "a\0b", "too long": "x/" * 5000}.get(what, str(path))
    for event in ("Stop", "PreCompact", "SessionEnd"):
        assert hook(event, transcript_path=given) is None
    assert status(store, "c") == "active"


def test_a_program_in_a_transcript_is_read_in_time_that_grows_with_it(tmp_path):
    """It reads a bounded part behind each name, or this would never end."""
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"name": "exec", "input": "register_agent({" * 200_000 + " c"}) + "\n")
    assert transcripts.find_registered(str(path), {"c"}) == set()


# Cut

def test_before_a_conversation_is_cut_a_checkpoint_is_made(team, hook):
    team.save_agent_state("a", "k", "v")
    hook("PreCompact", trigger="auto")
    [point] = team.list_agent_checkpoints("a")
    assert point["checkpoint_type"] == "automatic" and team.list_agent_checkpoints("boss") == []


def test_where_it_may_be_cut_at_every_turn_not_each_makes_one(team, hook, clock):
    """Gemini CLI says so before every call of its model."""
    for _ in range(3):
        hook("PreCompress", trigger="auto")
    assert len(team.list_agent_checkpoints("a")) == 1
    clock.advance(301)
    hook("PreCompress")
    assert len(team.list_agent_checkpoints("a")) == 1  # nothing was heard from it since
    team.save_agent_state("a", "k", "v")
    hook("PreCompress")
    assert len(team.list_agent_checkpoints("a")) == 2


# It fails open

EVENTS = ["SessionStart", "Stop", "SubagentStop", "SessionEnd", "PreCompact", "AfterAgent", "PreCompress",
          "BeforeAgent"]


@pytest.mark.parametrize("event", EVENTS)
def test_it_makes_no_store(unmade, hook, directory, event):
    assert hook(event) is None
    assert not directory.exists()


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"session_id": 7}',
                                     b'{"session_id": ["a"], "transcript_path": {}}', b'{"session_id": "\\ud800"}',
                                     b'{"session_id": "a\\u0000b"}', b'{"x": NaN}'])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_whatever_the_client_says_it_goes_on(team, cli, dump, payload):
    before = dump()
    for event in EVENTS:
        done = cli("hook", event, stdin=payload)
        assert done.status == 0 and done.err.count("\n") <= 1
    assert dump() == before


@pytest.mark.parametrize("words", [[], ["Nonsense"], ["Stop", "-", "more"], ["Stop", "--what"], ["Stop", "", "-"]])
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_whatever_it_is_called_with_it_goes_on(team, cli, words):
    done = cli("hook", *words)
    assert (done.status, done.text, done.err.count("\n")) == (0, "", 1)
    assert cli("hook", "Stop", AGENT_ID="a\nb").status == 0


def damage(directory):
    (directory / "coordination.db").write_bytes(b"no database" * 100)


def make_old(directory, version=2):
    connection = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def make_new(directory):
    make_old(directory, 99)


def lose(directory):
    os.unlink(directory / "coordination.db")


def replace_by_link(directory):
    shutil.move(directory / "config", directory.parent / "elsewhere")
    (directory / "config").symlink_to(directory.parent / "elsewhere")


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("harm", [damage, make_old, make_new, lose, replace_by_link])
def test_a_store_that_cannot_be_used_holds_up_nobody(team, cli, directory, harm):
    send(team)
    team.close()
    harm(directory)
    before = sorted((path, path.read_bytes()) for path in directory.rglob("*") if path.is_file())
    for event in EVENTS:
        done = cli("hook", event, stdin=b'{"session_id": "s-1", "source": "resume"}')
        assert (done.status, done.text, done.err.count("\n")) == (0, "", int(event != "BeforeAgent"))
    assert sorted((path, path.read_bytes()) for path in directory.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("backend", ["file"], indirect=True)
def test_an_older_store_of_files_is_left_as_it_is(team, cli, directory):
    team.close()
    head = directory / "file-store.json"
    head.write_text(head.read_text().replace('"schema_version": 3', '"schema_version": 2'))
    done = cli("hook", "Stop", stdin=b'{"session_id": "s-1"}')
    assert (done.status, done.err.count("\n")) == (0, 1) and '"schema_version": 2' in head.read_text()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_busy_store_holds_up_nobody_for_long(team, cli, directory, monkeypatch):
    from milestone_persist.hooks import answering

    monkeypatch.setattr(answering, "HURRY_SECONDS", 0.01)
    send(team)
    holder = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    done = cli("hook", "Stop", stdin=b'{"session_id": "s-1"}')
    assert (done.status, done.text) == (0, "") and "busy" in done.err
    assert "Continue" in cli("hook", "SessionStart", stdin=b'{"session_id": "s-1", "source": "resume"}').text
    holder.close()
    assert "block" in cli("hook", "Stop", stdin=b'{"session_id": "s-1"}').text


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_closed_streams_hold_up_nobody(team, run, program):
    main = ROOT / "milestone_persist" / "__main__.py"
    for end in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-", "| true"):
        text = f'set -o pipefail; python3 -I -S "$1" hook SessionStart {end}'
        done = run(["bash", "-c", text, "x", main], stdin=b'{"session_id": "s-1"}')
        assert isinstance(done, Result) and done.status == 0 and done.err.count("\n") <= 1
