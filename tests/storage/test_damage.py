"""Stores that were damaged, corrupted by hand or put out of reach: one line says so, nothing is lost or pretended."""
from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from conftest import ROOT

from milestone_persist import MilestoneWarning, StorageError, UsageError

HYBRID = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
FILE = pytest.mark.parametrize("backend", ["file"], indirect=True)
LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)


@pytest.fixture
def damage(store, directory):
    """Runs SQL on the store's database as somebody would by hand, unhindered by CHECKs."""
    def damage(sql):
        connection = sqlite3.connect(directory / "coordination.db")
        connection.executescript(f"PRAGMA ignore_check_constraints = ON; {sql}")
        connection.close()

    return damage


@HYBRID
@pytest.mark.parametrize("payload", ["{corrupt", '{"n": 1e400}', '{"deep": ' + "[" * 800 + "]" * 800 + "}"])
def test_a_corrupt_payload_is_told_and_its_message_stays(store, damage, payload):
    store.send_agent_message("a", "a", "error_report", {})
    damage(f"UPDATE agent_messages SET payload = '{payload}'")
    for take in (False, True, True):
        with pytest.raises(StorageError, match="the payload of message 1 cannot be read"):
            store.get_agent_messages("a", take)
    damage("UPDATE agent_messages SET payload = '{}'")
    assert len(store.get_agent_messages("a", True)) == 1


@HYBRID
@pytest.mark.parametrize("time", ["yesterday", "", "2026-01-01T00:00:00Z", "1767225600"])
def test_a_corrupt_time_is_told_and_doctor_finds_it(store, damage, cli, time):
    store.register_agent("a", "validation", "m", "validation-1")
    damage(f"UPDATE agent_registry SET last_heartbeat = '{time}'")
    assert cli("list-session-agents", "validation-1").status in (0, 3)
    done = cli("doctor")
    assert done.status == 3 and f"agent_registry, row a: last_heartbeat is not a time: {time!r}" in done.err


@HYBRID
@pytest.mark.parametrize("sql, told", [
    ("UPDATE agent_registry SET status = 'idle' WHERE agent_id = 'b'",
     "agent_registry, row b: status is 'idle', which breaks CHECK (status = 'spawning' OR status = 'active' OR"),
    ("UPDATE agent_messages SET priority = 77 WHERE id = 2",
     "agent_messages, row 2: priority is 77, which breaks CHECK (priority BETWEEN 1 AND 10 AND typeof(priority) ="),
    ("UPDATE agent_messages SET acknowledged_at = created_at WHERE id = 1",
     "agent_messages, row 1: delivered_at is None, acknowledged_at is '20"),
    ("UPDATE agent_state SET is_json = 1, state_value = '{'",
     "agent_state, row a/k: state_value is '{', is_json is 1, which breaks CHECK (is_json = 0 OR json_valid("),
    ("UPDATE agent_health_log SET cpu_usage = 'much'",
     "agent_health_log, row 1: cpu_usage is 'much', which breaks CHECK (typeof(cpu_usage) IN ('real', 'null'))"),
    ("UPDATE coordination_sessions SET progress = 'half'",
     "coordination_sessions, row validation-1: progress is 'half', which breaks CHECK (progress BETWEEN 0 AND 100)")])
def test_doctor_names_the_rows_that_break_a_check_and_which(store, damage, cli, sql, told):
    for agent in "ab":
        store.register_agent(agent, "validation", "m", "validation-1")
        store.send_agent_message(agent, "a", "error_report", {})
    store.save_agent_state("a", "k", "v")
    store.agent_heartbeat("a", "healthy")
    damage(sql)
    done = cli("doctor")
    named = [line for line in done.text.splitlines() if "breaks CHECK" in line]
    assert done.status == 3 and len(named) == 1 and told in named[0]


@HYBRID
def test_of_many_rows_that_break_a_check_some_are_named(store, damage, cli):
    store.send_many("a", [{"to_agent": "a", "message_type": "x-note", "payload": {}}] * 50)
    damage("UPDATE agent_messages SET priority = 11")
    told = cli("doctor").text
    assert told.count("agent_messages, row ") == 20
    assert "agent_messages: more rows than 20 break CHECK (priority" in told


@HYBRID
def test_times_as_sqlite_writes_them_are_sound(store, damage, cli):
    store.register_agent("a", "validation", "m", "validation-1")
    damage("UPDATE agent_registry SET last_heartbeat = datetime('now'), completion_time = NULL")
    assert cli("doctor").status == 0


@HYBRID
def test_a_call_that_fails_at_its_start_keeps_no_lock(store, damage, connect):
    other = connect()
    store.get_agent_messages("a")  # looks at the schema once
    damage("ALTER TABLE agent_coordination_config RENAME TO gone")
    with pytest.raises(StorageError, match="no such table"):
        store.save_agent_state("a", "k", "v")
    damage("ALTER TABLE gone RENAME TO agent_coordination_config")
    other.save_agent_state("a", "k", "v")
    store.save_agent_state("a", "k", "w")


@FILE
def test_rows_are_found_without_the_note_of_their_backend(store, directory, cli):
    store.save_agent_state("a", "k", "v")
    shutil.rmtree(directory / "config")
    assert cli("initialize-agent-coordination", MILESTONE_BACKEND="").text.endswith("(backend file)\n")
    assert cli("load-agent-state", "a", "k", MILESTONE_BACKEND="").text == "v"


@pytest.mark.parametrize("make", [
    lambda path: path.write_text("a file"), lambda path: path.symlink_to(path), lambda path: path.symlink_to("none")])
@LOCAL
def test_a_data_directory_that_is_none_is_not_taken_for_an_empty_one(cli, directory, make):
    make(directory)
    for words in (["list-coordination-sessions"], ["doctor"], ["save-agent-state", "a", "k", "v"],
                  ["start-session-monitor", "--once"]):
        done = cli(*words)
        assert (done.status, done.text, done.err.count("\n")) == (3, "", 1), words
        assert str(directory) in done.err


@LOCAL
@pytest.mark.parametrize("name, advice", [("passwd", ": name a directory in MILESTONE_DIR"),
                                          ("passwd/.milestones", ": name a directory in MILESTONE_DIR"),
                                          (".milestones", ": move it away, or name a directory in MILESTONE_DIR")])
def test_only_a_file_that_is_named_as_ours_is_to_be_moved_away(cli, tmp_path, name, advice):
    (tmp_path / name.partition("/")[0]).write_text("mine")
    done = cli("save-agent-state", "a", "k", "v", MILESTONE_DIR=str(tmp_path / name))
    assert done.status == 3 and done.err.endswith(f"(Not a directory){advice}\n"), done.err


@LOCAL
def test_a_data_directory_that_cannot_be_read_is_not_taken_for_an_empty_one(cli, store, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    store.save_agent_state("a", "k", "v")
    monkeypatch.setattr(os, "scandir", refuse)
    done = cli("list-coordination-sessions")
    assert done.status == 3 and "Permission denied" in done.err


@LOCAL
def test_what_is_no_record_among_the_records_is_passed_over(store, directory):
    store.create_milestone_record("ms", "title: Mine")
    (directory / "active" / "folder.yaml").mkdir()
    assert [row["id"] for row in store.list_milestones()] == ["ms"]
    store.create_milestone_record("folder2", "title: More")


def test_headings_that_no_database_can_hold_are_taken_as_they_stand(store):
    for number, title in enumerate([r'"\ud800"', r'"a\u0000b"']):
        store.create_milestone_record(f"ms-{number}", f"title: {title}")
    assert [row["title"] for row in store.list_milestones()] == [r"\ud800", r"a\u0000b"]


@LOCAL
@pytest.mark.parametrize("name", ["pipe", "/dev/zero", ".", "missing"])
def test_a_checkpoint_of_what_is_no_file_is_refused_at_once(store, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="cannot read the file"):
        store.create_agent_checkpoint("a", "manual", name)


@HYBRID
@pytest.mark.parametrize("variable", ["AGENT_ID", "SESSION_ID", "MILESTONE_ID"])
def test_ids_of_the_environment_are_checked_too(cli, variable):
    for words in (["save-agent-state", "a", "k", "v"], ["log-milestone-event", "done"], ["list-milestones"]):
        done = cli(*words, **{variable: "\udc80"})
        assert (done.status, done.err) == (2, f"milestone_persist: ${variable} is not UTF-8 text: encode it first, "
                                              "e.g. with base64\n")


@HYBRID
def test_a_deleted_current_directory_matters_only_where_it_is_needed(environ, tmp_path):
    command = [sys.executable, "-m", "milestone_persist", "list-coordination-sessions"]
    for named, status in ({}, 3), ({"MILESTONE_DIR": str(tmp_path / "m")}, 0):
        done = subprocess.run(["sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "sh", *command],
                              env={**environ, "PYTHONPATH": str(ROOT), **named}, cwd=tmp_path, capture_output=True,
                              check=False)
        assert done.returncode == status, done.stderr
        assert done.stderr.count(b"\n") == (1 if status else 0)


@HYBRID
def test_an_automatic_backend_heeds_the_environment(store, cli):
    done = cli("migrate-storage-backend", "auto")
    assert done.status == 2 and "MILESTONE_BACKEND is hybrid" in done.err


def test_half_characters_that_json_can_name_pass_everywhere(store, tmp_path):
    half = r'{"title": "a\ud800 plan", "\udfff": ["\ud83d"]}'
    store.register_agent("a", "milestone-planner", "ms", "planning-1")
    store.save_agent_state("a", "planning-scope", half)
    assert store.load_agent_state("a", "planning-scope") == half
    whole = {"title": "a\ufffd plan", "\ufffd": ["\ufffd"]}
    with pytest.warns(MilestoneWarning, match="DETAILS names half a character"):
        assert store.log_storage_event("e", "ms", "hybrid", half)["details"] == whole
    for payload in (half, json.loads(half)):
        with pytest.warns(MilestoneWarning, match="PAYLOAD names half a character"):
            store.send_agent_message("a", "a", "x-note", payload)
        assert store.get_agent_messages("a", True)[0]["payload"] == whole
    with pytest.warns(MilestoneWarning, match="CAPABILITIES names half a character"):
        assert store.register_agent("b", "validation", "ms", "planning-1", r'["\udfff"]')["capabilities"] == \
            r'["\ufffd"]'
    store.create_agent_checkpoint("a")
    store.complete_planning_session("planning-1")
    assert json.loads(store.load_agent_state("a", "milestone-plan"))["planning-scope"] == whole
    store.save_agent_state("a", "milestone-plan", half)
    store.create_milestone_from_planning("planning-1", "ms")
    assert "a\ufffd plan" in store.read_milestone_record("ms")
    store.generate_milestone_report("planning-1")
    store.export_coordination(str(tmp_path / "e.jsonl"))


@LOCAL
@pytest.mark.parametrize("key", ["cleanup_retention_days", "session_timeout", "interrupted_after"])
def test_a_setting_beyond_all_times_means_for_ever(store, clock, key):
    store.set_storage_config(key, "999999999")
    store.register_agent("a", "validation", "m", "validation-1")
    store.create_agent_checkpoint("a")
    clock.advance(86400)
    store.cleanup_stale_coordination(1)
    store.detect_interrupted_sessions()
    store.resume_session_agents("validation-1")
    assert len(store.list_agent_checkpoints("a")) == 1


@HYBRID
@pytest.mark.parametrize("now", ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999", "1969-12-31"])
def test_no_clock_makes_a_time_that_is_none(cli, now):
    for words in (["register-agent", "a", "validation", "m", "validation-1"], ["create-agent-checkpoint", "a"],
                  ["save-agent-state", "a", "k", "v", "user_data", "3000000000"],
                  ["cleanup-stale-coordination", "1000000"], ["doctor"]):
        done = cli(*words, MILESTONE_NOW=now)
        assert done.status == 0, done


@FILE
@pytest.mark.parametrize("name", ["agent-registry/a.json", "agent-state/a=k.json"])
@pytest.mark.parametrize("text", ["{", "[]", '{"colour": "red"}'])
def test_a_corrupt_file_of_an_agent_stops_only_what_needs_it(store, directory, cli, name, text):
    for agent in "ab":
        store.register_agent(agent, "validation", "m", "validation-1")
        store.save_agent_state(agent, "k", agent)
    path = directory / name
    path.write_text(text)
    for words in (["save-agent-state", "b", "k", "v"], ["load-agent-state", "b", "k"], ["agent-heartbeat", "b"],
                  ["send-agent-message", "b", "b", "progress_update", "{}"], ["get-agent-messages", "b", "true"],
                  ["register-agent", "c", "validation", "m", "validation-1"], ["create-agent-checkpoint", "b"],
                  ["list-session-agents", "validation-1"], ["list-agent-state", "b"]):
        done = cli(*words)
        assert done.status == 0, (words, done)
        assert all("left out" in line and str(path) in line for line in done.err.splitlines())
    for words in ["load-agent-state", "a", "k"], ["save-agent-state", "a", "k", "w"], ["create-agent-checkpoint", "a"]:
        done = cli(*words)
        assert (done.status, done.text) == (3, "") and str(path) in done.err and "doctor --fix" in done.err
    for words in ["backup-coordination"], ["export-coordination"], ["migrate-storage-backend", "database"]:
        done = cli(*words, MILESTONE_BACKEND="")
        assert done.status == 3 and str(path) in done.err
    assert path.read_text() == text and (directory / "agent-state" / "a=k.json").exists()


@HYBRID
def test_a_status_that_somebody_has_put_in_by_hand_is_printed_with_escapes(store, damage, cli):
    store.register_agent("a", "validation", "m", "execution-1")
    damage("UPDATE agent_registry SET status = 'x' || char(27) || '[2J'")
    for words in ["get-session-recovery-status"], ["recover-milestone-session", "execution-1"], ["status"]:
        done = cli(*words)
        assert "\x1b" not in done.text + done.err, done


@FILE
@pytest.mark.parametrize("column", ["milestone_id", "session_id"])
@pytest.mark.parametrize("value", [[], {}, [["m"]]], ids=repr)
def test_a_reference_that_is_no_plain_value_is_corrupt(store, directory, cli, column, value):
    store.register_agent("a", "validation", "m", "validation-1")
    path = directory / "agent-registry" / "a.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), column: value}))
    for words in ["load-agent-state", "a", "k"], ["get-agent-messages", "a"], ["doctor"], ["backup-coordination"]:
        done = cli(*words)
        assert done.status == 3 and str(path) in done.err + done.text and "internal" not in done.err, done


@FILE
def test_a_session_that_cannot_be_read_stops_only_its_own(store, directory, cli):
    for name in "12":
        store.register_agent("a" + name, "validation", "m", "validation-" + name)
        store.send_agent_message("a" + name, "a" + name, "progress_update", {})
    path = directory / "coordination-sessions" / "validation-1.json"
    path.write_text("{")
    assert cli("get-session-status", "validation-2").status == 0
    assert len(json.loads(cli("get-agent-messages", "a2", "true").text)) == 1
    done = cli("get-session-status", "validation-1")
    assert done.status == 3 and str(path) in done.err
    done = cli("cleanup-failed-sessions", "0")
    assert done.status in (0, 3) and path.read_text() == "{"


@FILE
def test_a_corrupt_file_that_was_fixed_is_read_again(connect, directory):
    connect().save_agent_state("a", "k", "v")
    store = connect()
    path = directory / "agent-registry" / "a.json"
    text = path.read_text()
    path.write_text("{")
    with pytest.raises(StorageError, match="agent-registry/a.json: not JSON"):
        store.save_agent_state("a", "k", "w")
    path.write_text(text)
    store.save_agent_state("a", "k", "x")
    assert store.load_agent_state("a", "k") == "x"


CORRUPT_ROWS = [
    ("UPDATE agent_messages SET priority = 'high'", "agent_messages"),
    ("UPDATE agent_messages SET retry_count = 'often', delivered_at = '2026-01-01 00:00:00.000'", "agent_messages"),
    ("UPDATE agent_state SET version = 'first'", "agent_state"),
    ("UPDATE coordination_sessions SET progress = 'half'", "coordination_sessions"),
    ("UPDATE coordination_sessions SET agent_count = x'ff'", "coordination_sessions"),
    ("UPDATE coordination_sessions SET configuration = '['", "coordination_sessions"),
    ("UPDATE agent_registry SET life = 'second', capabilities = '{'", "agent_registry"),
    ("UPDATE milestones SET version = 'first'", "milestones"),
    ("UPDATE agent_checkpoints SET state_snapshot = '7', file_references = '{}'", "agent_checkpoints"),
    ("UPDATE agent_registry SET last_heartbeat = 12, spawn_time = 'x'", "agent_registry"),
    ("UPDATE agent_messages SET created_at = ''", "agent_messages"),
    ("UPDATE events SET timestamp = 'long ago'", "events"),
]


@HYBRID
@pytest.mark.parametrize("sql, table", CORRUPT_ROWS)
def test_no_corrupt_row_is_an_internal_error(store, damage, cli, sql, table):
    store.register_agent("a", "validation", "m", "execution-1")
    store.save_agent_state("a", "k", "v")
    store.send_agent_message("a", "a", "x-n", {})
    checkpoint = store.create_agent_checkpoint("a")["checkpoint_id"]
    store.create_milestone_record("m", "title: One")
    damage(sql)
    done = cli("doctor")
    assert done.status == 3 and table in done.text
    for words in (["get-agent-messages", "a"], ["get-agent-messages", "a", "true"], ["list-agent-state", "a"],
                  ["load-agent-state", "a", "k"], ["load-agent-state", "a", "k", "--full"],
                  ["save-agent-state", "a", "k", "w"], ["save-agent-state", "a", "k", "w", "--if-version", "1"],
                  ["get-session-status", "execution-1"], ["list-coordination-sessions"], ["update-agent-status", "a"],
                  ["update-session-progress", "execution-1", "50"], ["register-agent", "a", "validation", "m", "x-1"],
                  ["list-milestones"], ["update-milestone-record", "m", "x", "--if-version", "1"],
                  ["create-agent-checkpoint", "a"], ["restore-agent-checkpoint", checkpoint],
                  ["list-agent-checkpoints", "a"], ["detect-interrupted-sessions"], ["get-milestone-analytics"],
                  ["recover-milestone-session", "execution-1"], ["generate-milestone-report", "execution-1"],
                  ["update-agent-status", "a", "failed"], ["cleanup-stale-coordination", "1"]):
        done = cli(*words)
        assert done.status in (0, 1, 2, 3) and "internal" not in done.err, words
    for words in ["report", "execution-1"], ["backup-coordination"], ["migrate-storage-backend", "file"]:
        done = cli(*words, MILESTONE_BACKEND="")
        assert done.status in (0, 3) and "internal" not in done.err, (words, done)  # 2 would blame the caller's words
        assert not done.status or "doctor" in done.err or table in done.err, (words, done)


@FILE
@pytest.mark.parametrize("text", [
    "[" * 100_000, "7", "null", '"x"', '{"schema_version": 1e400}', '{"schema_version": 2, "sequences": []}',
    '{"schema_version": 2, "generation": 1, "sequences": {"agent_messages": "x"}}',
    '{"schema_version": 2, "generation": "1", "sequences": {}}', '{"schema_version": 2, "sequences": {}}',
    '{"schema_version": 2, "generation": 1, "sequences": {"agent_messages": 1' + "0" * 40 + "}}",
    '{"schema_version": 2, "generation": 1' + "0" * 40 + ', "sequences": {}}',
    '{"schema_version": true, "generation": 1, "sequences": {}}'])
def test_a_head_that_is_none_is_named(store, directory, cli, text):
    store.save_agent_state("a", "k", "v")
    (directory / "file-store.json").write_text(text)
    for words in ["load-agent-state", "a", "k"], ["save-agent-state", "a", "k", "w"], ["doctor"], ["list-milestones"]:
        done = cli(*words)
        assert done.status == 3 and "file-store.json: not the head of a store" in done.err, words
    assert (directory / "file-store.json").read_text() == text


RUN = "from milestone_persist.cli.process import run; run()"


@pytest.fixture
def limited(run):
    """Runs the program in a process under a limit: limited("RLIMIT_AS", 10 ** 8, "where")."""
    def limited(limit, size, *words, stdin=b""):
        text = f"import resource; resource.setrlimit(resource.{limit}, ({size}, {size})); {RUN}"
        return run([sys.executable, "-c", text, *words], stdin=stdin, PYTHONPATH=str(ROOT))

    return limited


@LOCAL
def test_advice_names_the_limit_that_was_reached(program, limited):
    assert program("save-agent-state", "a", "k", "v").status == 0
    done = limited("RLIMIT_FSIZE", 250_000, "save-agent-state", "a", "k", "-", stdin=b"x" * 400_000)
    assert done.status == 3 and done.err.count("\n") == 1 and "ulimit -f" in done.err
    assert program("load-agent-state", "a", "k").text == "v"


@LOCAL
def test_too_little_memory_is_one_line(program, limited):
    assert program("save-agent-state", "a", "k", "v").status == 0
    done = limited("RLIMIT_AS", 150_000_000, "save-agent-state", "a", "k", "-", stdin=b"x" * 90_000_000)
    assert done.status == 3 and done.err.count("\n") == 1 and "not enough memory" in done.err
    assert program("load-agent-state", "a", "k").text == "v"


@HYBRID
def test_a_disk_that_fails_is_no_lack_of_space(store, monkeypatch):
    said = str(store.storage().explain(sqlite3.OperationalError("disk I/O error")))
    assert "fails" in said and "free some" not in said
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([4096, 4096, 100, 0, 0, 100, 9, 9, 0, 255]))
    assert "free some space" in str(store.storage().explain(sqlite3.OperationalError("disk I/O error")))


@LOCAL
def test_no_inode_is_no_lack_of_space(store, monkeypatch):
    from milestone_persist.storage.files import cannot_write

    values = [4096, 4096, 100, 50, 50, 100, 0, 0, 0, 255]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))
    assert "no inode is left" in str(cannot_write("/x/y", OSError(28, "No space left on device")))
