"""The command line: exit statuses, one-line errors that change nothing, help, JSON, standard input."""
from __future__ import annotations

import json
import sys

import pytest
from conftest import ROOT

from milestone_persist import __version__
from milestone_persist.base.values import has_controls

BAD = [  # status, what the line says, the words
    (2, "python3 -m milestone_persist --help", ["no-such-thing"]),
    (2, "did you mean save_agent_state?", ["save-agent-stat"]),
    (2, "unknown option --jsn", ["--jsn", "where"]),
    (2, "--dir needs a directory", ["--dir"]),
    (2, "--dir needs a directory", ["--dir", "--json", "where"]),
    (2, "--dir stands before the operation", ["where", "--dir", "X"]),
    (2, "too many arguments, from 'x' on: help [OPERATION or TOPIC]", ["help", "where", "x"]),
    (2, "too many arguments, from 'where' on: --version", ["--version", "where"]),
    (2, "an operation's own options stand behind its name", ["--full", "load-agent-state", "a", "k"]),
    (2, "AGENT_ID is missing: save_agent_state AGENT_ID", ["save-agent-state"]),
    (2, "VALUE is missing", ["save-agent-state", "a", "k"]),
    (2, "too many arguments", ["list-agent-state", "a", "b"]),
    (2, "did you mean --if-version? save_agent_state ", ["save-agent-state", "a", "k", "v", "--iff-version", "1"]),
    (2, "put -- before a value", ["save-agent-state", "a", "k", "-v"]),
    (2, "--all: cleanup_failed_sessions [HOURS]\n", ["cleanup-failed-sessions", "--all"]),
    (2, "--if-version needs a value", ["save-agent-state", "a", "k", "v", "--if-version"]),
    (2, "--if-version must be a whole number", ["save-agent-state", "a", "k", "v", "--if-version", "one"]),
    (2, "TTL_SECONDS must be a whole number", ["save-agent-state", "a", "k", "v", "progress", "soon"]),
    (2, "TTL_SECONDS must be a whole number", ["save-agent-state", "a", "k", "v", "progress", "1.5"]),
    (2, "TTL_SECONDS", ["save-agent-state", "a", "k", "v", "progress", "9" * 40]),
    (2, "STATE_KEY is empty", ["save-agent-state", "a", "", "v"]),
    (2, "unknown state type", ["save-agent-state", "a", "k", "v", "secret"]),
    (2, "NUL", ["save-agent-state", "a", "k", "a\0b"]),
    (2, "UTF-8", ["save-agent-state", "a", "k", "\udcff"]),
    (2, "UTF-8", ["save-agent-state", "\udcff", "k", "v"]),
    (2, "MILESTONE_ID is empty", ["register-agent", "a", "validation", "", "s"]),
    (2, "SESSION_ID is empty", ["register-agent", "a", "validation", "m", ""]),
    (2, "unknown agent type", ["register-agent", "a", " ", "m", "s"]),
    (2, "CAPABILITIES is not JSON", ["register-agent", "a", "validation", "m", "s", "planning"]),
    (2, "CAPABILITIES must be an array of strings", ["register-agent", "a", "validation", "m", "s", "{}"]),
    (2, "PAYLOAD is not JSON", ["send-agent-message", "known", "known", "error_report", "{"]),
    (2, "PAYLOAD must be an object", ["send-agent-message", "known", "known", "error_report", "[]"]),
    (2, "PRIORITY must be from 1 to 10", ["send-agent-message", "known", "known", "error_report", "{}", "11"]),
    (2, "did you mean error_report?", ["send-agent-message", "known", "known", "error_reprt", "{}"]),
    (2, "TAKE must be true or false", ["get-agent-messages", "known", "maybe"]),
    (2, "--sent must be true or false, not ''", ["list-agent-messages", "known", "--sent="]),
    (2, "LIMIT must be from 1", ["get-agent-messages", "known", "true", "0"]),
    (2, "--wait must be a number", ["get-agent-messages", "known", "--wait", "nan"]),
    (2, "--wait must be a number, not ''", ["get-agent-messages", "known", "--wait", ""]),
    (2, "--wait must be from 0 to 86400, not 100000000000", ["get-agent-messages", "known", "--wait", "1e11"]),
    (2, "PERCENT must be from 0 to 100, not 100.5", ["update-session-progress", "s-1", "100.5"]),
    (2, "PERCENT must be a number, not ''", ["update-session-progress", "s-1", ""]),
    (2, "PRIORITY must be a whole number", ["send-agent-message", "known", "known", "error_report", "{}", "1_0"]),
    (2, "PRIORITY must be a whole number", ["send-agent-message", "known", "known", "error_report", "{}", " 9 "]),
    (2, "PRIORITY must be a whole number", ["send-agent-message", "known", "known", "error_report", "{}", "\u0669"]),
    (2, "PERCENT must be a number", ["update-session-progress", "s-1", "1_0.5"]),
    (2, "AGENT_ID is missing: get_agent_messages AGENT_ID true", ["get-agent-messages", "true"]),
    (2, "MESSAGE_ID must be a whole number", ["acknowledge-agent-message", "known", "first"]),
    (2, "MESSAGE_ID", ["acknowledge-agent-message", "known", "9" * 40]),
    (2, "unknown agent status", ["update-agent-status", "known", "sleeping"]),
    (2, "unknown phase", ["update-session-progress", "s-1", "5", "coding"]),
    (2, "PERCENT must be a number", ["update-session-progress", "s-1", "half"]),
    (2, "PERCENT", ["update-session-progress", "s-1", "inf"]),
    (2, "unknown session status", ["list-coordination-sessions", "open"]),
    (2, "unknown checkpoint type", ["create-agent-checkpoint", "known", "daily"]),
    (2, "cannot read the file", ["create-agent-checkpoint", "known", "manual", "no/such/file"]),
    (2, "unknown setting", ["set-storage-config", "colour", "red"]),
    (2, "migrate_storage_backend file", ["set-storage-config", "storage_backend", "file"]),
    (2, "EVENT is empty", ["log-milestone-event", ""]),
    (1, "did you mean known?", ["update-agent-status", "knwon", "failed"]),
    (1, "there is s-1", ["get-session-status", "s-2"]),
    (1, "; it has: none", ["load-agent-state", "known", "k"]),
    (1, "nothing was deleted", ["delete-agent-state", "known", "k"]),
    (1, "nothing was acknowledged", ["acknowledge-agent-message", "known", "1"]),
    (1, "no checkpoint", ["restore-agent-checkpoint", "cp-1"]),
    (1, "has version 0, not 4", ["save-agent-state", "known", "k", "v", "--if-version", "4"]),
    (1, "has no milestone-plan", ["create-milestone-from-planning", "s-1", "ms-1"]),
    (1, "no planning artifact yet", ["save-planning-artifacts", "s-1"]),
    (1, "is alone in session", ["broadcast-agent-message", "known", "error_report", "{}"]),
]


@pytest.mark.parametrize("status, says, words", BAD, ids=[" ".join(words)[:50] for _, _, words in BAD])
def test_a_bad_call_says_why_in_one_line_and_changes_nothing(store, cli, dump, directory, status, says, words):
    store.register_agent("known", "validation", "ms-1", "s-1")
    before = dump()
    done = cli(*words)
    assert (done.status, done.out) == (status, b"")
    assert says in done.err and done.err.startswith("milestone_persist: ") and done.err.count("\n") == 1
    assert str(directory) in done.err or not done.err.startswith("milestone_persist: no ")  # where it was looked for
    assert dump() == before


def test_a_bad_call_does_not_even_make_the_directory_unless_it_was_to_write(unmade, cli, directory):
    for words in (["save-agent-state", "a"], ["no-such-thing"], ["load-agent-state", "a", "k"], ["where"], ["--help"],
                  ["list-coordination-sessions"], ["list-agent-state", "a"], ["get-storage-config"]):
        cli(*words)
    assert not directory.exists()


def test_a_storage_that_cannot_be_used_is_status_3(cli, directory):
    directory.write_text("a file where the directory should be")
    done = cli("initialize-agent-coordination")
    assert done.status == 3 and str(directory) in done.err and "MILESTONE_DIR" in done.err and done.err.count("\n") == 1
    assert directory.read_text() == "a file where the directory should be"


def test_warnings_are_lines_beside_the_output(cli):
    done = cli("register-agent", "a", "validator", "m", "s")
    assert (done.status, done.text) == (0, "registered a (x-validator) in session s\n")
    assert done.err == "milestone_persist: warning: unknown agent type 'validator': stored as x-validator; " \
                       "did you mean validation?\n"


def test_an_error_stays_one_line_whatever_it_names(cli):
    done = cli("update-agent-status", "a\nb\r\x1b[31m", "failed")
    assert done.status == 2 and done.err.count("\n") == 1 and "\x1b" not in done.err


LONG = {"one word": "x" * 300_000, "prose": "lorem ipsum " * 25_000, "lines": "a\nb\n" * 50_000,
        "JSON": json.dumps([{"key": "value"}] * 10_000), "a path": "/folder" * 10_000, "repr": "\x01'" * 30_000}


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_a_line_stays_short_whatever_it_names_and_keeps_its_ends(store, cli, directory, value):
    store.register_agent("known", "validation", "ms-1", "s-1")
    for words, begin, end in [
        (["send-agent-message", "known", "known", value + "error_report", "{}"], "unknown message type '", "x-YOURS)"),
        (["send-agent-message", "known", "known", "error_report", value], "PAYLOAD", """'{"phase": "design"}'"""),
        (["no" + value], "unknown operation 'no", "milestone_persist --help"),
        (["save-agent-state", "known", "k", "v", value], "unknown state type '", "temp_data"),
        (["save-agent-state", "known", "k", "v", "progress", value], "TTL_SECONDS must be a whole number, not",
                                                                       "[--if-version N]"),
        (["update-agent-status", value, "failed"], *_of_no_id("no agent '", directory, value)),
        (["get-agent-messages", "known", "true", "1", value], "too many arguments", "[--brief]"),
        (["read-milestone-record", value], *_of_no_id("no record of milestone '", directory, value,
                                                   "; list_milestones shows those there are")),
        (["create-agent-checkpoint", "known", "manual", value], "", ""),
    ]:
        done = cli(*words)
        assert done.status in (1, 2) and done.out == b""
        assert done.err.replace('"', "'").startswith("milestone_persist: " + begin), done
        assert done.err.endswith(end + "\n"), done
        assert len(done.err) < 620 and done.err.count("\n") == 1


def _of_no_id(begin, directory, value, what_lists=""):
    """How the error of an id that nobody has begins and ends, or of one that nobody may have."""
    if has_controls(value):
        return "", ": give a name without"
    return begin, f" in {directory}: no id is like it{what_lists}"


def test_a_warning_stays_short(cli):
    done = cli("register-agent", "a", "validator" + "-x" * 100_000, "m", "s")
    assert done.status == 0 and len(done.err) < 620 and "stored as x-validator-x" in done.err


def test_a_long_word_is_shown_whole_where_there_is_room(cli, tmp_path):
    folder = str(tmp_path / ("folder/" * 40))
    assert f" in {folder.rstrip('/')}" in cli("--dir", folder, "load-agent-state", "a", "k").err


def test_an_empty_word_for_a_number_that_may_be_left_out_is_none(store, cli):
    """What "${5:-}" gives."""
    store.register_agent("a", "validation", "m", "s")
    assert cli("save-agent-state", "a", "k", "v", "progress", "").status == 0
    assert cli("send-agent-message", "a", "a", "error_report", "{}", "").text == "1\n"
    (message,) = json.loads(cli("get-agent-messages", "a", "", "").text)
    assert message["priority"] == 5 and message["delivered_at"] is None
    assert json.loads(cli("list-agent-state", "a", "--json").text)[0]["expires_at"] is None
    assert cli("cleanup-stale-coordination", "").status == 0


def test_what_operations_print(cli, clock):
    def out(*words):
        done = cli(*words)
        assert (done.status, done.err) == (0, "")
        return done.text

    assert out("register-agent", "b", "validation", "ms-1", "planning-1") == \
        "registered b (validation) in session planning-1\n"
    assert out("register-agent", "a", "milestone-coordinator", "ms-1", "planning-1") == \
        "registered a (milestone-coordinator) in session planning-1\n"
    assert out("update-agent-status", "a") == "active\n"
    assert out("update-agent-status", "a", "paused") == ""
    assert out("agent-heartbeat", "a", "healthy") == ""
    assert out("save-agent-state", "a", "k", "v\n\n") == ""
    assert out("load-agent-state", "a", "k") == "v\n\n"
    assert out("load-agent-state", "a", "none", "") == ""
    assert out("send-agent-message", "a", "b", "error_report", "{}") == "1\n"
    assert out("broadcast-agent-message", "b", "error_report", "{}") == "2\n"
    assert json.loads(out("get-agent-messages", "b", "true"))[0]["id"] == 1
    again = cli("get-agent-messages", "b", "true")
    assert (again.text, again.err.count("\n")) == ("[]\n", 1) and "acknowledged what b took" in again.err
    assert out("acknowledge-agent-message", "a", "2") == ""
    checkpoint = out("create-agent-checkpoint", "a").strip()
    assert checkpoint.startswith("cp-20260101000000000-")
    assert out("restore-agent-checkpoint", checkpoint).startswith("restored 1 keys of a; previous state saved as cp-")
    assert out("update-session-progress", "planning-1", "40", "spec") == ""
    clock.advance(90)
    assert out("get-session-status", "planning-1") == """\
session planning-1: planning of ms-1, active, 40 %, phase spec
coordinator a; inactive for 1.5 min
messages: 0 pending, 0 taken, 2 acknowledged, 0 dead letters
agent_id  agent_type             status  minutes_since_heartbeat  current_task
a         milestone-coordinator  paused  1.5                      -
b         validation             active  1.5                      -
"""
    assert out("list-coordination-sessions", "active").splitlines()[1].split()[:3] == ["planning-1", "ms-1", "planning"]
    assert out("get-storage-config", "session_timeout") == "1800\n"
    assert "session_timeout=1800\n" in out("get-storage-config")
    assert out("delete-agent-state", "a", "k") == ""


def test_json_is_one_line_wherever_the_option_stands(cli):
    cli("save-agent-state", "a", "k", "né\n")
    for words in (["--json", "load-agent-state", "a", "k"], ["load-agent-state", "a", "k", "--json"]):
        assert cli(*words).text == '"né\\n"\n'
    assert json.loads(cli("--json", "list-agent-state", "a").text)[0]["characters"] == 3


def test_names_take_dashes_or_underscores(cli):
    assert cli("save_agent_state", "a", "k", "v").status == cli("load-agent_state", "a", "k").status == 0


def test_a_value_comes_from_standard_input(cli):
    value = "-\n'\"$(x)\0"[:-1].encode() * 1000
    assert cli("save-agent-state", "a", "k", "-", stdin=value).status == 0
    assert cli("load-agent-state", "a", "k").out == value
    assert cli("send-agent-message", "a", "a", "error_report", "-", stdin=b'{"n": 1}').status == 0
    assert json.loads(cli("get-agent-messages", "a").text)[0]["payload"] == {"n": 1}
    done = cli("save-agent-state", "a", "k", "-", stdin=b"\xff\xfe")
    assert done.status == 2 and "VALUE is not UTF-8" in done.err
    assert "NUL" in cli("save-agent-state", "a", "k", "-", stdin=b"a\0b").err


def test_all_words_may_come_from_standard_input(cli):
    words = ["--from-shell", "save-agent-state", "a", "k", "--help\n"]
    text = "".join(word + "\0" for word in words).encode()
    assert cli("--words-on-stdin", len(words), stdin=text).status == 0
    assert cli("load-agent-state", "a", "k").text == "--help\n"
    assert cli("--words-on-stdin", len(words) + 1, stdin=text).status == 2  # one of them was lost on the way


@pytest.mark.parametrize("value", ["-v", "--help", "-h", "--json", "--", "--if-version", "-", "-1"])
def test_from_the_shell_a_required_argument_is_taken_as_it_comes(cli, value):
    assert cli("--from-shell", "save-agent-state", "a", "k", value, stdin=b"-").status == 0
    assert cli("load-agent-state", "a", "k").text == value
    assert cli("--from-shell", "load-agent-state", "a", "k", "--json").text == json.dumps(value) + "\n"


def test_after_two_dashes_everything_is_a_value(cli):
    assert cli("save-agent-state", "--", "-a", "--key", "--json").status == 0
    assert cli("load-agent-state", "--", "-a", "--key").text == "--json"


def test_negative_numbers_are_values(cli):
    assert "PERCENT must be from 0 to 100, not -5" in cli("update-session-progress", "s", "-5").err


def test_options_take_their_value_either_way(cli):
    for words in (["--if-version", "0"], ["--if-version=1"]):
        assert cli("save-agent-state", "a", "k", "v", *words).status == 0
    assert json.loads(cli("load-agent-state", "a", "k", "--full").text)["version"] == 2


def test_help_shows_every_topic_and_operation(cli):
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert cli(*words).text.startswith(f"milestone_persist {__version__}")
    for words in (["help", "save-agent-state"], ["save-agent-state", "--help"], ["--help", "save_agent_state"]):
        text = cli(*words).text
        assert text.startswith("Usage: save_agent_state AGENT_ID STATE_KEY VALUE")
        assert "\nExample: save_agent_state " in text and "Exit status: 0 done; 1 no" in text
        assert "python3 -m milestone_persist save-agent-state" in text and text.endswith(" help state\n")
    assert cli("help", "doctor").text.startswith("Usage: python3 -m milestone_persist doctor [--fix]\n")
    assert cli("help", "messages").text.startswith("Messages\n  send_agent_message FROM_AGENT TO_AGENT")
    assert cli("--version").text == f"milestone_persist {__version__}\n"
    assert cli("help", "nothing-such").status == 2


def test_the_directory_may_be_named(cli, tmp_path, backend):
    for words in (["--dir", tmp_path / "one"], [f"--dir={tmp_path / 'one'}"]):
        assert cli(*words, "save-agent-state", "a", "k", "v").status == 0
    assert cli("--dir", tmp_path / "one", "load-agent-state", "a", "k").text == "v"
    if backend != "postgresql":  # there, directories share the database
        assert cli("load-agent-state", "a", "k").status == 1


def test_json_that_is_safe_for_echo_has_only_unicode_escapes(cli):
    payload = {"text": 'a\nb\t"c"\\d\u2028 n\\n'}
    cli("send-agent-message", "a", "a", "error_report", json.dumps(payload))
    text = cli("--echo-safe", "get-agent-messages", "a").text
    assert json.loads(text)[0]["payload"] == payload
    assert set(text.split("\\")[1:]) == {part for part in text.split("\\")[1:] if part.startswith("u")}
    cli("save-agent-state", "a", "k", json.dumps(payload))
    text = cli("--echo-safe", "load-agent-state", "a", "k", "--full").text
    assert json.loads(json.loads(text)["value"]) == payload
    assert {part[:1] for part in text.split("\\")[1:]} == {"u"}
    assert cli("--echo-safe", "load-agent-state", "a", "k").text == json.dumps(payload)


def test_the_clock_can_be_set_for_tests_of_ones_own_agents(program, environ):
    assert program("register-agent", "a", "validation", "m", "s", MILESTONE_NOW="2026-01-31 09:30:00").status == 0
    told = json.loads(program("--json", "list-session-agents", "s", MILESTONE_NOW="2026-01-31T09:45:00Z").text)
    assert (told[0]["spawn_time"], told[0]["minutes_since_heartbeat"]) == ("2026-01-31 09:30:00.000", 15)
    done = program("list-session-agents", "s", MILESTONE_NOW="yesterday")
    assert done.status == 2 and "not a time: 'yesterday'" in done.err


@pytest.mark.parametrize("value, streams", [("-", ">&-"), ("-", "2>&-"), ("v", "<&-"), ("v", "<&- >&- 2>&-"),
                                            ("-", "| true")])
def test_closed_streams_are_no_reason_to_complain(run, value, streams):
    program = ROOT / "milestone_persist" / "__main__.py"
    command = [sys.executable, "-I", "-S", program, "save-agent-state", "a", "k", value]
    done = run(["sh", "-c", f'"$@" {streams}', "sh", *command], stdin=b"v")
    assert (done.status, done.out, done.err) == (0, b"", "")


def test_a_value_does_not_come_from_a_closed_standard_input(run, program):
    program("save-agent-state", "a", "k", "precious")
    done = run(["sh", "-c", '"$@" <&-', "sh", sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py",
                "save-agent-state", "a", "k", "-"])
    assert (done.status, done.err) == (3, "milestone_persist: standard input is closed\n")
    assert program("load-agent-state", "a", "k").text == "precious"


def test_who_looks_into_the_wrong_directory_is_told_which_one_it_was(cli, directory):
    for words in (["load-agent-state", "a", "k"], ["get-session-status", "s"], ["update-agent-status", "a"],
                  ["read-milestone-record", "ms"]):
        done = cli(*words)
        assert done.status == 1 and f" in {directory}" in done.err, done


def test_an_empty_directory_name_is_refused(cli):
    for words in (["--dir"], ["--dir="], ["--dir", ""]):
        assert cli(*words).err == "milestone_persist: --dir needs a directory\n"


def test_a_warning_is_said_once(store, cli):
    store.register_agent("a", "validation", "m", "planning-1")
    storage = store.storage()
    with storage.transaction():
        storage.execute("UPDATE agent_coordination_config SET value = 'soon' WHERE key = 'session_timeout'")
    assert cli("recover-milestone-session", "planning-1").err.count("\n") == 1
