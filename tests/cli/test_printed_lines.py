"""id=$(register_agent …) and its like: the line that an operation printed, given where a name in it was wanted."""
from __future__ import annotations

import pytest

from milestone_persist import UsageError


@pytest.fixture
def backend():
    """Words are read before anything is opened: one will do."""
    return "hybrid"


@pytest.fixture
def lines(cli):
    """What operations print, by name."""
    def line(*words, **environ):
        done = cli(*words, **environ)
        assert done.status == 0, done
        return done.text.strip()

    first = {"register": line("register-agent", "a-1", "validation", "ms-1", "s-1"),
             "register again": line("register-agent", "a-1", "validation", "ms-1", "s-1"),
             "record": line("create-milestone-record", "ms-1", "title: one"),
             "lock": line("acquire-milestone-lock", "ms-2"),
             "own lock": line("acquire-milestone-lock", "ms-3", "--owner", "a"),
             "sessions": line("list-coordination-sessions"), "planning": line("list-planning-sessions")}
    point = line("create-agent-checkpoint", "a-1")
    first["restored"] = line("restore-agent-checkpoint", point)
    first["points"] = line("list-agent-checkpoints", "a-1")
    return first


@pytest.mark.parametrize("call, place, printed, says", [
    ("save-agent-state {} k v", "AGENT_ID", "register", "register_agent printed: give a-1 alone"),
    ("save-agent-state {} k v", "AGENT_ID", "register again", "register_agent printed: give a-1 alone"),
    ("send-agent-message {} a-1 x-t {{}}", "FROM_AGENT", "register", "give a-1 alone"),
    ("send-agent-message a-1 {} x-t {{}}", "TO_AGENT", "register", "give a-1 alone"),
    ("get-agent-messages {}", "AGENT_ID", "register", "give a-1 alone"),
    ("get-session-status {}", "SESSION_ID", "register", "give s-1 alone"),
    ("register-agent b validation ms-1 {}", "SESSION_ID", "register again", "give s-1 alone"),
    ("register-agent b validation ms-1 {}", "SESSION_ID", "planning", "list_planning_sessions printed: give the id"),
    ("register-agent b validation ms-1 {}", "SESSION_ID", "sessions", "(2 lines, from 'session_id "),
    ("read-milestone-record {}", "MILESTONE_ID", "record", "give ms-1 alone"),
    ("acquire-milestone-lock {}", "MILESTONE_ID", "lock", "acquire_milestone_lock printed: give ms-2 alone"),
    ("acquire-milestone-lock {}", "MILESTONE_ID", "own lock", "give ms-3 alone"),
    ("restore-agent-checkpoint {}", "CHECKPOINT_ID", "restored", "restore_agent_checkpoint printed: give cp-"),
])
def test_a_line_that_was_printed_is_no_id(cli, lines, dump, call, place, printed, says):
    before = dump()
    words = [lines[printed] if word == "{}" else word.replace("{{}}", "{}") for word in call.split()]
    done = cli(*words)
    assert (done.status, done.out, done.err.count("\n")) == (2, b"", 1)
    assert place in done.err and says in done.err and dump() == before


@pytest.mark.parametrize("kind", ["sessions", "points"])
def test_a_row_of_a_table_is_no_id(cli, lines, dump, kind):
    row, before = lines[kind].splitlines()[-1], dump()
    for words in (["register-agent", "b", "validation", "ms-1", row], ["agent-heartbeat", row]):
        done = cli(*words)
        assert done.status == 2 and f"a list printed: give {row.split()[0]} alone" in done.err
    assert dump() == before


def test_what_the_environment_holds_is_told_too(cli, lines):
    done = cli("get-agent-messages", AGENT_ID=lines["register"])
    assert done.status == 2 and "AGENT_ID is a line that register_agent printed: give a-1 alone" in done.err


def test_python_is_told_too(store, lines):
    with pytest.raises(UsageError, match="give a-1 alone"):
        store.save_agent_state(lines["register"], "k", "v")


def test_a_key_may_be_such_a_line(store, lines):
    store.save_agent_state("a-1", lines["register"], "v")
    assert store.load_agent_state("a-1", lines["register"]) == "v"


def test_the_line_of_a_lock_stands_for_its_token(cli, lines):
    cli("create-milestone-record", "ms-2", "title: two")
    assert cli("update-milestone-record", "ms-2", "title: new", "--owner", lines["lock"]).status == 0
    assert cli("release-milestone-lock", "ms-2", "--owner", lines["lock"]).status == 0
    assert cli("release-milestone-lock", "ms-3", "--owner", lines["lock"]).status == 1  # another's
