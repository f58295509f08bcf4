"""What doctor finds and what it repairs: each damage is named with what to do, and nothing is lost."""
from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3

import pytest

SQLITE = pytest.mark.parametrize("backend", ["hybrid", "database"], indirect=True)
HYBRID = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
FILE = pytest.mark.parametrize("backend", ["file"], indirect=True)
LOCAL = pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)


@pytest.fixture
def filled(store):
    store.register_agent("a", "validation", "m", "validation-1")
    store.save_agent_state("a", "k", "v")
    store.send_agent_message("a", "a", "progress_update", {"n": 1})
    store.create_milestone_record("m", "title: One")
    return store


@pytest.fixture
def edit(filled, directory):
    """Runs SQL on the database as somebody would by hand."""
    def edit(sql):
        connection = sqlite3.connect(directory / "coordination.db")
        connection.executescript(f"PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {sql}")
        connection.close()

    return edit


@pytest.fixture
def find(cli):
    """What doctor finds, by severity: find(status)."""
    def find(status, *words):
        done = cli("doctor", *words, "--json")
        assert done.status == status, done
        found = json.loads(done.text)
        assert all(set(each) == {"severity", "where", "what", "do", "fixable"} for each in found)
        return found

    return find


def whats(found, severity):
    return [f"{each['what']} {each['do']}" for each in found if each["severity"] == severity]


def test_a_sound_store_is_one_line(filled, cli, find, dump, directory):
    before, files = dump(), sorted(directory.rglob("*"))
    assert cli("doctor").text.startswith("sound: ") and cli("doctor").text.count("\n") == 1
    [found] = find(0)
    assert found["severity"] == "sound" and filled.doctor() == [found]
    assert dump() == before and sorted(directory.rglob("*")) == files


CHANGES = {
    "DROP INDEX agent_messages_dead": "index agent_messages_dead is missing",
    "DROP VIEW active_agents": "view active_agents is missing",
    "DROP VIEW stale_sessions; CREATE VIEW stale_sessions AS SELECT 1": "view stale_sessions is another",
    "DROP VIEW active_agents; CREATE TABLE active_agents (x)": "view active_agents was replaced by a table",
    "DROP TRIGGER keep_removed_version": "trigger keep_removed_version is missing",
    "CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN DELETE FROM agent_messages WHERE id = NEW.id; END":
        "trigger t on agent_messages is not of this program",
    'CREATE TRIGGER t AFTER INSERT ON "agent_messages" BEGIN UPDATE OR IGNORE "agent_registry" SET status = 1; END':
        "trigger t on agent_messages is not of this program",
    "CREATE TRIGGER t BEFORE INSERT ON agent_state BEGIN SELECT RAISE(IGNORE); END":
        "trigger t on agent_state is not of this program",
    "CREATE UNIQUE INDEX u ON agent_messages (to_agent)": "index u on agent_messages is not of this program",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, '(priority BETWEEN 1 AND 10', "
    "'(priority BETWEEN 1 AND 100') WHERE name = 'agent_messages'": "table agent_messages is another",
    "ALTER TABLE agent_messages ADD COLUMN mine CHECK (mine > 1)": "table agent_messages is another",
}


CHANGES.update({f"CREATE TABLE mine (x); CREATE TABLE key (id INTEGER PRIMARY KEY); CREATE TABLE full (x NOT NULL); "
                f"CREATE TABLE one (x UNIQUE); CREATE TRIGGER t AFTER INSERT ON {table} BEGIN {body}; END":
                "trigger t on agent_messages is not of this program" for table, body in (
                    ("agent_messages", "delete from 'agent_messages'"),
                    ("agent_messages", "delete/**/from/**/agent_messages"),
                    ("agent_messages", "delete --x\nfrom [agent_messages]"),
                    ("agent_messages", "update/**/ 'agent_messages' set delivered_at = 1"),
                    ("agent_messages", "with x as (select 1) select 1 from x"),
                    ("agent_messages", "select count(*) from (with recursive c(n) as (select 1 union all select n + 1 "
                                       "from c) select * from c)"),
                    ("agent_messages", "select abs(-9223372036854775808)"),
                    ("agent_messages", "select writefile('/tmp/none', 'x')"),
                    ("agent_messages", "insert into mine values (abs(-9223372036854775808))"),
                    ("agent_messages", "insert into mine select 1 from agent_messages"),
                    ("agent_messages", "insert into mine values ((select 1))"),
                    ("agent_messages", "insert into mine values (1, 2)"),
                    ("agent_messages", "insert into gone values (1)"),
                    ("agent_messages", "insert into key values (1)"),
                    ("agent_messages", "insert into full values (null)"),
                    ("agent_messages", "insert into full values (new.delivered_at)"),
                    ("agent_messages", "insert into full values ('at ' || new.'delivered_at')"),
                    ("agent_messages", "insert into one values (1)"),
                    ("agent_messages", "insert into mine values (new.none)"),
                    ("agent_messages", "insert into mine values (old.id)"),
                    ("agent_messages when id > 1", "insert into mine values (1)"),
                    ("agent_messages", "insert or rollback into mine values (1)"),
                    ("agent_messages when abs(-9223372036854775808)", "insert into mine values (1)"))})
CHANGES["CREATE TABLE mine (x); CREATE TRIGGER s AFTER INSERT ON agent_messages BEGIN INSERT INTO mine VALUES (1); "
        "END; CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM agent_messages; END"] = (
            "trigger t on mine is not of this program")
CHANGES["CREATE TABLE mine (x); CREATE UNIQUE INDEX u ON mine (x); "
        "CREATE TRIGGER s AFTER INSERT ON agent_messages BEGIN INSERT INTO mine VALUES (1); END"] = (
            "index u on mine is not of this program")
CHANGES["CREATE INDEX u ON agent_messages (abs(-9223372036854775806 - id))"] = (
    "index u on agent_messages is not of this program")


@HYBRID
@pytest.mark.parametrize("sql", CHANGES)
def test_what_is_other_in_the_schema_is_named_and_repaired(edit, find, cli, connect, directory, sql):
    edit(sql)
    [what] = whats(find(3), "unsound")
    assert CHANGES[sql] in what
    if "replaced by a table" in what:  # which may hold what is somebody's
        assert "rename that table" in what and not whats(find(3, "--fix"), "fixed")
        return
    assert cli("doctor").text.splitlines()[-1] == "python3 -m milestone_persist doctor --fix"
    fixed = find(0, "--fix")
    assert any(CHANGES[sql] in line for line in whats(fixed, "fixed"))
    assert [path for path in (directory / "backups").iterdir() if path.name.startswith("before-doctor")]
    assert len(find(0)) == 1
    store = connect()
    assert store.load_agent_state("a", "k") == "v" and store.send_agent_message("a", "a", "x-n", {})["id"] == 2
    assert len(store.get_agent_messages("a")) == 2
    dropped = [*directory.glob("backups/*-doctor/dropped.sql")]
    assert len(dropped) == ("is not of this program" in CHANGES[sql])
    assert all(" t " in path.read_text() or " u " in path.read_text() for path in dropped)


@SQLITE
def test_what_others_have_added_beside_it_is_sound(edit, find):
    edit("CREATE TABLE audit (n); CREATE VIEW mine AS SELECT * FROM agent_messages; ALTER TABLE agent_state ADD mine;"
         "CREATE INDEX i ON agent_messages (from_agent);"
         "CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN INSERT INTO audit VALUES (NEW.id || ' came'); END;"
         "CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, old, "
         "at DEFAULT (datetime('now')));"
         "CREATE TRIGGER u AFTER UPDATE OF status, session_id ON agent_registry FOR EACH ROW WHEN NEW.status IS NOT "
         "OLD.status /* mine */ BEGIN INSERT OR IGNORE INTO \"log\" (what, old) VALUES ('it''s; so', OLD.status); "
         "INSERT INTO log VALUES (NULL, NEW.agent_id, -1.5, datetime('now')); END;"
         "CREATE INDEX j ON agent_messages (to_agent COLLATE NOCASE DESC) WHERE delivered_at IS NULL")
    assert len(find(0)) == 1


@SQLITE
def test_a_view_that_never_ends_is_named_before_it_is_asked(edit, find, cli):
    backup = shlex.split(cli("backup-coordination").text)[-1]
    edit("ALTER TABLE agent_messages RENAME TO hidden; CREATE VIEW agent_messages AS WITH RECURSIVE n(id) AS "
         "(SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT * FROM n")
    found = find(3)
    assert "table agent_messages was replaced by a view" in whats(found, "unsound")[0]
    done = cli("restore-coordination", backup)
    assert done.status == 0 and len(find(0)) == 1


@SQLITE
@pytest.mark.parametrize("trigger", ["", "CREATE TRIGGER t AFTER INSERT ON agent_state BEGIN DELETE FROM events; END"])
def test_a_view_in_the_place_of_a_table_is_said_once_and_nothing_is_done(edit, find, cli, dump, directory, trigger):
    backup = shlex.split(cli("backup-coordination").text)[-1]
    assert len(find(0, "--fix")) == 1
    edit("ALTER TABLE agent_health_log RENAME TO x_h; CREATE VIEW agent_health_log AS SELECT * FROM x_h;" + trigger)
    before, files = dump(), sorted(directory.rglob("*"))
    for words in [], ["--fix"], ["--fix"]:
        found = find(3, *words)
        lines = whats(found, "unsound")
        assert "agent_health_log was replaced by a view restore_coordination" in lines[0] and backup in lines[0]
        assert len(lines) == 1 + bool(trigger) and not whats(found, "fixed") and not found[0]["fixable"]
        done = cli("doctor", *words)
        assert "lost" not in done.err + done.text and "--fix repairs" not in done.err
    assert dump() == before and sorted(directory.rglob("*")) == files
    assert cli("restore-coordination", backup).status == 0 and len(find(0)) == 1


@SQLITE
def test_an_index_of_ours_on_a_table_of_others_comes_back(edit, find):
    edit("CREATE TABLE x (a); DROP INDEX agent_messages_dead; CREATE INDEX agent_messages_dead ON x (a)")
    assert len(whats(find(3), "unsound")) == 1
    find(0, "--fix")
    assert len(find(0)) == 1


@SQLITE
def test_a_backup_with_a_trigger_of_others_is_not_restored(edit, cli, dump):
    backup = shlex.split(cli("backup-coordination").text)[-1]
    connection = sqlite3.connect(backup)
    connection.executescript("CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN DELETE FROM agent_messages; END")
    connection.close()
    before = dump()
    done = cli("restore-coordination", backup)
    assert done.status == 2 and "trigger t on agent_messages is not of this program" in done.err
    assert dump() == before


@SQLITE
def test_a_store_with_a_trigger_of_others_is_restored_without_it(edit, cli, find, connect):
    backup = shlex.split(cli("backup-coordination").text)[-1]
    edit("CREATE TRIGGER t AFTER INSERT ON agent_messages BEGIN DELETE FROM agent_messages; END")
    assert cli("restore-coordination", backup).status == 0 and len(find(0)) == 1
    assert len(connect().get_agent_messages("a")) == 1


@SQLITE
def test_rows_whose_agent_is_gone_keep_their_meaning(edit, find, connect):
    edit("DELETE FROM agent_registry; DELETE FROM coordination_sessions")
    assert all("that is gone" in line for line in whats(find(3), "unsound"))
    find(0, "--fix")
    assert not whats(find(0), "unsound") and connect().load_agent_state("a", "k") == "v"
    assert len(connect().get_agent_messages("a")) == 1


@FILE
@pytest.mark.parametrize("name", ["agent-registry/a.json", "agent-state/a=k.json", "milestones/m.json",
                                  "coordination-sessions/validation-1.json"])
@pytest.mark.parametrize("text", ["{", None])
def test_a_file_that_is_none_is_set_aside_and_what_refers_to_it_stays(filled, cli, find, directory, name, text):
    path = directory / name
    path.unlink() if text is None else path.write_text(text)
    if text is None and name.startswith("agent-state"):  # nothing refers to it
        return
    found = find(3)
    assert text is None or any(each["where"] == str(path) for each in found)
    assert whats(find(0, "--fix"), "fixed")
    kept = [*directory.glob(f"backups/*-doctor/{name}")]
    assert [one.read_text() for one in kept] == ([] if text is None else [text])
    assert not whats(find(0), "unsound")
    if not name.startswith("agent-state"):
        assert cli("load-agent-state", "a", "k").text == "v"
    assert len(json.loads(cli("get-agent-messages", "a").text)) == 1


@FILE
def test_a_folder_of_rows_that_is_gone_is_named(filled, find, directory):
    shutil.rmtree(directory / "agent-messages")
    assert "agent-messages is missing" in whats(find(3), "unsound")[0]


@LOCAL
def test_a_record_file_that_is_gone_is_named(filled, find, directory):
    text = (directory / "active" / "m.yaml").read_text()
    (directory / "active" / "m.yaml").unlink()
    assert whats(find(3), "unsound")[0].startswith("the record of milestone 'm' is gone")
    (directory / "active" / "m.yaml").write_text(text)
    (directory / "active" / "n.yaml").write_bytes(b"\xff")
    assert "is not UTF-8 text" in whats(find(3), "unsound")[0]


def test_times_that_are_to_come_are_named(filled, connect, find, clock):
    clock.advance(86400 * 365)
    connect().agent_heartbeat("a")
    connect().acquire_milestone_lock("m", owner="a")
    clock.advance(-86400 * 365)
    notes = whats(find(0), "note")
    assert any("is in the future, as '2027-01-01" in line for line in notes)


def test_dead_letters_and_mail_that_nobody_reads_are_named(filled, find, connect):
    connect().set_storage_config("message_retry_limit", "0")
    with pytest.warns(Warning, match="nobody"):
        filled.send_agent_message("a", "nobody", "progress_update", {})
    filled.get_agent_messages("a", True)
    filled.update_agent_status("a", "failed")
    notes = whats(find(0), "note")
    assert any("1 dead letter to a requeue_agent_message a 1" in line for line in notes)
    assert any("1 message waits for nobody, which is not registered" in line for line in notes)


@SQLITE
def test_settings_that_are_none_are_named(edit, find):
    edit("INSERT INTO agent_coordination_config (key, value) VALUES ('hearbeat', '1'); "
         "UPDATE agent_coordination_config SET value = 'abc' WHERE key = 'session_timeout'")
    found = find(3)
    assert "'hearbeat' is not a setting" in whats(found, "note")[0]
    assert "session_timeout must be a whole number" in whats(found, "unsound")[0]


@LOCAL
def test_what_killed_writers_left_is_named_and_taken_away(filled, find, directory):
    filled.log_milestone_event("x", "m")
    (directory / "backups").mkdir(exist_ok=True)
    log = directory / "logs" / "milestone-events.jsonl"
    log.write_bytes(log.read_bytes()[:-10] + b"\n" + log.read_bytes() + b'{"half')
    parts = [directory / "active" / "m.yaml.0123456789ab.part", directory / "backups" / "b.db.0123456789ab.new.part",
             directory / ".kept-0"]
    for part in parts:
        part.write_text("title: old")
    notes = find(0)
    assert len(whats(notes, "note")) == 4 and "2 lines are not JSON" in " ".join(whats(notes, "note"))
    find(0, "--fix")
    assert not any(part.exists() for part in parts) and len(find(0)) == 1
    assert [*directory.glob("backups/*-doctor/.kept-0")][0].read_text() == "title: old"
    assert [*directory.glob("backups/*-doctor/*.torn")][0].read_text().endswith('{"half\n')
    filled.log_milestone_event("y", "m")
    assert [json.loads(line)["event"] for line in log.read_text().splitlines() if line.strip()] == ["x", "y"]


@LOCAL
def test_rights_that_are_missing_are_given_back(filled, find, directory):
    (directory / "config").chmod(0o500)
    os.chmod(directory, 0o755)
    assert any("may not read and write it" in line for line in whats(find(0 if os.geteuid() == 0 else 3), "note"))
    find(0, "--fix")
    assert directory.stat().st_mode & 0o777 == 0o700 and (directory / "config").stat().st_mode & 0o700 == 0o700
    assert len(find(0)) == 1


@LOCAL
def test_a_full_file_system_is_named(filled, find, monkeypatch):
    real = os.statvfs

    def full(path):
        values = [*real(path)][:10]
        values[4] = values[7] = 0  # f_bavail, f_favail
        values[2] = values[5] = 100  # f_blocks, f_files
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", full)
    assert [line[:20] for line in whats(find(3), "unsound")] == ["no space is left on ", "no inode is left on "]


@LOCAL
def test_the_database_of_an_earlier_tool_is_named(filled, find, cli, directory):
    (directory / "enterprise.db").write_bytes(b"SQLite format 3\0")
    assert "create_milestone_record" in whats(find(0), "note")[0]
    for words in ["initialize-agent-coordination"], ["initialize-storage-system"]:
        done = cli(*words)
        assert done.status == 0 and "enterprise.db is the database of an earlier milestone tool" in done.err


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_it_is_named_where_nothing_of_it_is_found(cli, directory):
    directory.mkdir()
    (directory / "enterprise.db").write_bytes(b"SQLite format 3\0")
    for words, status in (["doctor"], 1), (["list-milestones"], 0), (["list-milestones", "active"], 0):
        done = cli(*words)
        assert (done.status, done.text) == (status, "")
        assert "enterprise.db is the database of an earlier milestone tool" in done.err
    assert sorted(path.name for path in directory.iterdir()) == ["enterprise.db"]
    cli("create-milestone-record", "ms-1", "title: t")
    assert (cli("list-milestones").err, cli("list-milestones").text) == ("", "ms-1\n")
