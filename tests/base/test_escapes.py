"""What comes from outside reaches a terminal only as text: no control character acts there, no line is forged."""
from __future__ import annotations

import json
import sqlite3
import subprocess

import pytest

from milestone_persist.base.quoting import command

HOSTILE = ["\x1b[2J", "a\nmilestone_persist: ok", "\r", "\x07", "\x7f", "\x9b31m", "\u202egnp.exe", "\u2066x",
           "\u2028"]
ACTING = {*"\x1b\r\x07\x7f\x9b\u202e\u2066\u2028"}
EACH = pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)


def is_plain(text):
    return ACTING.isdisjoint(text)


@EACH
def test_an_error_line_shows_what_it_names(cli, hostile):
    name = "a" + hostile
    for words in ([name], ["--" + name], ["load-agent-state", "a", "k", "--" + name], ["help", name],
                  ["set-storage-config", name, "1"], ["register-agent", "a", name, "m", "s"],
                  ["restore-coordination", name], ["import-coordination", name], ["import-tmp-files", name],
                  ["create-agent-checkpoint", "a", "manual", name], ["register-agent", "a", "validation", "m", name],
                  ["whoami"], ["update-agent-status", "nobody"]):
        done = cli(*words, AGENT_ID=name if words == ["whoami"] else "")
        assert is_plain(done.err + done.text) and done.err.count("\n") <= 1 and "\nmilestone_persist" not in done.err


@EACH
def test_no_id_holds_a_control_character(store, dump, environ, hostile):
    store.initialize_agent_coordination()
    name, before = "a" + hostile, dump()
    for call in (lambda: store.register_agent(name, "validation", "m", "s"),
                 lambda: store.register_agent("a", "validation", name, "s"),
                 lambda: store.register_agent("a", "validation", "m", name),
                 lambda: store.save_agent_state("a", name, "v"),
                 lambda: store.send_agent_message(name, "b", "x-note", {}),
                 lambda: store.send_agent_message("a", name, "x-note", {}),
                 lambda: store.create_milestone_record(name, "title: x"),
                 lambda: store.acquire_milestone_lock("m", owner=name),
                 lambda: store.log_milestone_event("e", name), lambda: store.log_storage_event("e", name, "hybrid")):
        with pytest.raises(Exception, match="holds a control character") as raised:
            call()
        assert raised.value.status == 2 and is_plain(str(raised.value))
    assert dump() == before


@pytest.mark.parametrize("variable", ["AGENT_ID", "SESSION_ID", "MILESTONE_ID"])
def test_no_id_of_the_environment_holds_a_control_character(cli, variable):
    done = cli("save-agent-state", "a", "k", "v", **{variable: "a\x1b"})
    assert (done.status, done.text) == (2, "") and f"${variable} holds a control character" in done.err


@pytest.mark.parametrize("name", ["a\x1b[2J.yaml", "a%1b.yaml", "a%0ab.yaml"])
@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_no_id_of_an_imported_file_holds_a_control_character(store, cli, directory, name):
    store.create_milestone_record("ms-1", "title: x")
    (directory / "active" / name).write_text("title: y\n")
    done = cli("list-milestones")
    assert done.text == "ms-1\n"
    assert "holds a control character: rename it" in done.err and is_plain(done.err)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_control_character_in_a_stored_id_is_escaped_on_every_surface(store, cli, directory, clock):
    store.register_agent("a", "milestone-planner", "m", "planning-1")
    connection = sqlite3.connect(directory / "coordination.db")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE coordination_sessions SET session_id = 'planning-1' || char(27) || '[2J' || char(10)")
    connection.execute("UPDATE agent_registry SET session_id = (SELECT session_id FROM coordination_sessions), "
                       "agent_id = 'a' || char(155) || char(8238)")
    connection.commit()
    connection.close()
    clock.advance(4000)
    for words in (["detect-interrupted-sessions"], ["recover-milestone-session"], ["list-coordination-sessions"],
                  ["get-session-recovery-status"], ["update-agent-status", "a", "failed"]):
        done = cli(*words)
        assert is_plain(done.text + done.err)
        done = cli("--json", *words)
        assert is_plain(done.text + done.err)


WORDS = [("coordination_sessions", "status"), ("coordination_sessions", "phase"),
         ("coordination_sessions", "operation_type"), ("coordination_sessions", "progress"),
         ("coordination_sessions", "milestone_id"), ("agent_registry", "status"), ("agent_registry", "agent_type"),
         ("agent_registry", "error_info"), ("agent_registry", "current_task"),
         ("agent_checkpoints", "checkpoint_id"), ("agent_checkpoints", "checkpoint_type"), ("events", "event"),
         ("events", "detail"), ("agent_messages", "message_type"), ("agent_messages", "from_agent")]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("table, column", WORDS)
def test_a_word_that_is_none_acts_on_no_terminal(store, cli, directory, clock, table, column):
    """A database that came with a clone may hold what no CHECK of ours lets in."""
    store.register_agent("a", "milestone-planner", "m", "planning-1")
    store.send_agent_message("a", "a", "x-note", {})
    store.create_agent_checkpoint("a")
    connection = sqlite3.connect(directory / "coordination.db")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    hostile = float("inf") if column == "progress" else "x\x1b[2J\u202e"
    connection.execute(f"UPDATE {table} SET {column} = ?", (hostile,))
    connection.commit()
    connection.close()
    clock.advance(4000)
    for words in (["status"], ["briefing", "--agent", "a"], ["whoami"], ["get-session-status", "planning-1"],
                  ["list-session-agents", "planning-1"], ["list-agent-messages"], ["list-agent-checkpoints", "a"],
                  ["detect-interrupted-sessions"], ["recover-milestone-session", "planning-1"],
                  ["list-coordination-sessions"], ["list-coordination-events"],
                  ["watch", "--agent", "a", "--seconds", "0", "--all"], ["hook", "SessionStart"]):
        done = cli(*words, AGENT_ID="a")
        assert is_plain(done.text + done.err) and "internal error" not in done.err, (words, done)


@EACH
@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_json_says_the_same_without(cli, store, hostile):
    store.send_agent_message("a", "a", "x-note", {"text": hostile})
    store.save_agent_state("a", "k", hostile)
    done = cli("--json", "get-agent-messages", "a")
    assert is_plain(done.text) and json.loads(done.text)[0]["payload"] == {"text": hostile}
    assert cli("load-agent-state", "a", "k").text == hostile
    done = cli("--json", "load-agent-state", "a", "k")
    assert is_plain(done.text) and json.loads(done.text) == hostile


@pytest.mark.parametrize("shell", ["bash", "zsh", "dash"])
def test_a_command_line_means_the_same_in_a_shell(need, shell):
    words = [f"it's %s \\ \"{hostile}! $x" for hostile in HOSTILE] + ["\n", "a\n\n", "\x1b", "é👩‍💻", "é\x1b"]
    line = command(words)
    assert is_plain(line)
    done = subprocess.run([need(shell), "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words
