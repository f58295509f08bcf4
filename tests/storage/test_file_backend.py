"""What only the file backend promises: readable files, several processes, edits by hand, names that hold."""
from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess

import pytest
from conftest import size
from file_store import files_below, insert_agent, rows_of

from milestone_persist import MilestoneWarning, StorageError, open_store
from milestone_persist.base.tables import TABLES
from milestone_persist.storage.jsonfiles.lock import FileLock
from milestone_persist.storage.jsonfiles.store import HEAD, LOCK, FileStorage
from milestone_persist.storage.sqlite import embedded

SENT_BY_EACH = size(20, 100)
NASTY = ["../../x", "a/b", ".", "..", "CON", "con", "A", "a", "x" * 300, "X" * 300, "%41", "~", "=", "a=b", "-rf",
         "a b", "…" * 90, "'; DROP TABLE agent_state; --", " ", "é", "e\u0301"]


@pytest.fixture
def backend():
    return "file"


# Files


def test_rows_are_files_that_a_person_can_read(store, directory):
    store.register_agent("scope-1", "scope-analyzer", "ms-1", "planning-1")
    store.save_agent_state("scope-1", "planning-scope", '{"files": 12}')
    store.send_agent_message("scope-1", "scope-1", "progress_update", {"done": 3})
    agent = json.loads((directory / "agent-registry/scope-1.json").read_text())
    assert (agent["agent_id"], agent["session_id"], agent["status"]) == ("scope-1", "planning-1", "active")
    state = json.loads((directory / "agent-state/scope-1=planning-scope.json").read_text())
    assert state["state_value"] == '{"files": 12}'
    [line] = (directory / "agent-messages/00000001.jsonl").read_text().splitlines()
    assert json.loads(json.loads(line)["payload"]) == {"done": 3}


def test_jq_reads_the_inbox(store, directory, need):
    store.register_agent("b", "validation", "ms", "s")
    store.send_agent_message("a", "b", "progress_update", {"done": 3})
    text = subprocess.run([need("jq"), "-r", "select(.to_agent == \"b\").payload | fromjson.done",
                           directory / "agent-messages/00000001.jsonl"], capture_output=True, check=True).stdout
    assert text == b"3\n"


def test_everything_is_private(store, directory):
    store.save_agent_state("a", "k", "v")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.rglob("*")] if path.is_dir()}
    assert modes == {0o700}
    files = [directory / name for name in (HEAD, LOCK + ".lock", "agent-registry/a.json", "config/settings.jsonl")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("value", ["", "a\r\n\tb\u2028\u0085\n", "é" * 10, '"\\u0041\\n"', "x" * 10_000_000])
def test_values_come_back_byte_for_byte(connect, value):
    connect().save_agent_state("a", "k", value)
    assert connect().load_agent_state("a", "k") == value


def test_any_id_has_a_file_of_its_own_inside_the_directory(connect, directory):
    store = connect()
    for name in NASTY:
        store.register_agent(name, "validation", name, "s-" + name)
        store.save_agent_state(name, name, name)
    again = connect()
    assert {name: again.load_agent_state(name, name) for name in NASTY} == {name: name for name in NASTY}
    names = [path.name for path in (directory / "agent-registry").iterdir()]
    assert len({name.lower() for name in names}) == len(NASTY)
    assert os.listdir(directory.parent) == [directory.name]
    longest = max(len(path.name) for path in directory.rglob("*"))
    assert longest < 255 - len(".part")


def test_a_taken_message_rewrites_a_small_file_only(store, opened, directory):
    store.register_agent("b", "validation", "ms", "s")
    storage = opened()
    with storage.transaction():
        for number in range(250):
            storage.execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
                            "VALUES ('s', 'a', :to, 'progress_update', :payload)",
                            {"to": "b" if number == 120 else "c", "payload": json.dumps({"n": number})})
    before = files_below(directory)
    assert store.get_agent_messages("b", True)[0]["payload"] == {"n": 120}
    changed = {name for name, data in files_below(directory).items() if before.get(name) != data}
    assert {name for name in changed if name.startswith("agent-messages")} == {"agent-messages/00000101.jsonl"}


def test_history_is_not_read_where_it_is_not_needed(connect, directory):
    first = connect()
    for name in ("b", "c"):
        first.register_agent(name, "validation", "ms", "s")
    for number in range(3):
        first.send_agent_message("c", "b", "progress_update", {"n": number})
    first.get_agent_messages("b", True, 2)
    first.get_agent_messages("b", True)
    history = directory / "agent-messages/acknowledged/00000001.jsonl"
    whole = history.read_text()
    assert len(whole.splitlines()) == 2
    history.write_text("not read")
    store = connect()
    store.send_agent_message("b", "c", "progress_update", {"n": 3})
    assert [m["payload"]["n"] for m in store.get_agent_messages("c")] == [3]
    assert [m["payload"]["n"] for m in store.get_agent_messages("c", True, max_bytes=1000)] == [3]
    assert store.update_agent_status("c", "failed")["status"] == "failed"
    with pytest.raises(StorageError, match="acknowledged"):
        store.get_session_status("s")
    history.write_text(whole)
    for one in (store, connect()):
        counted = one.get_session_status("s")["messages"]
        assert counted == {"pending": 1, "taken": 1, "acknowledged": 2, "dead": 0}


def test_what_has_expired_leaves_no_file_behind_that_belongs_to_nobody(connect, clock, opened):
    first = connect()
    first.register_agent("a", "validation", "m", "validation-1")
    for agent, key, ttl in ("a", "k1", 60), ("a", "k2", None):
        first.save_agent_state(agent, key, "v", "user_data", ttl)
    first.create_agent_checkpoint("a")
    clock.advance(3600)
    first.save_agent_state("a", "k2", "w")  # changed, not inserted: the trigger that removes k1 does not run
    clock.advance(8 * 86400)
    later = connect()
    assert later.list_agent_state("a")[0]["state_key"] == "k2"
    later.abandon_session("validation-1")
    clock.advance(8 * 86400)
    later.cleanup_failed_sessions(0)
    assert opened().check() == []
    assert connect().list_agent_state("a") == []


def test_numbers_are_never_given_out_again(opened):
    def send(storage):
        return storage.execute("INSERT INTO events (event) VALUES ('e') RETURNING id")[0]["id"]

    storage = opened()
    assert [send(storage), send(storage)] == [1, 2]
    storage.execute("DELETE FROM events")
    assert send(opened()) == 3


def test_nothing_is_made_where_only_looking_was_asked_for(opened, directory):
    storage = opened(create=False)
    assert storage.execute("SELECT * FROM agent_registry") == []
    assert storage.describe()["exists"] is False
    assert not directory.exists()


# Several processes


def test_a_store_kept_open_sees_what_others_write(opened):
    first, second = opened(), opened()
    insert_agent(first, "a")
    with second.transaction():
        second.execute("UPDATE agent_registry SET status = 'paused'")
    assert [row["status"] for row in first.execute("SELECT * FROM agent_registry")] == ["paused"]


def test_what_is_undone_is_nowhere(opened, directory):
    storage = opened()
    insert_agent(storage, "a")
    before, files = rows_of(storage), files_below(directory)
    with pytest.raises(ZeroDivisionError), storage.transaction():
        storage.execute("DELETE FROM coordination_sessions")
        raise ZeroDivisionError
    assert rows_of(storage) == before == rows_of(opened())
    assert files_below(directory) == files


def test_a_nested_scope_joins_the_outer_one(opened):
    storage = opened()
    with pytest.raises(ZeroDivisionError), storage.transaction():
        with storage.transaction():
            insert_agent(storage, "a")
        raise ZeroDivisionError
    assert storage.execute("SELECT * FROM agent_registry") == []


def test_deleting_a_session_removes_the_files_of_all_that_hangs_on_it(connect, directory, opened):
    store = connect()
    store.register_agent("a", "validation", "ms", "s")
    store.save_agent_state("a", "k", "v")
    store.agent_heartbeat("a", "healthy")
    store.create_agent_checkpoint("a")
    store.send_agent_message("a", "a", "progress_update", {})
    opened().execute("DELETE FROM coordination_sessions")
    left = {name.split("/")[0] for name in files_below(directory)}
    assert left.isdisjoint({"agent-registry", "agent-state", "agent-messages", "agent-health-log",
                            "agent-checkpoints", "coordination-sessions"})
    assert "milestones" in left and opened().check() == []


def test_waiting_for_the_lock_has_an_end(opened, directory, monkeypatch):
    storage, other = opened(), FileLock(str(directory / LOCK))
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    other.acquire(exclusive=False)
    assert storage.execute("SELECT 1 AS one") == [{"one": 1}]
    with pytest.raises(StorageError, match="busy: another process"):
        insert_agent(storage, "a")
    other.release()
    insert_agent(storage, "a")


def test_a_store_that_was_moved_away_is_not_made_again(opened, directory):
    storage = opened()
    (directory / HEAD).rename(directory / "aside")
    with pytest.raises(StorageError, match="gone"):
        insert_agent(storage, "a")


def _send_and_take(directory, number, results):
    sent, taken = [], []
    try:
        with open_store(directory, environ={"MILESTONE_BACKEND": "file"}) as store:
            for _ in range(SENT_BY_EACH):
                sent.append(store.send_agent_message(f"w{number}", "inbox", "progress_update", {})["id"])
                taken += [message["id"] for message in store.get_agent_messages("inbox", True, 1)]
    finally:
        results.put((sent, taken))


def test_eight_processes_lose_and_double_nothing(store, directory, opened):
    store.register_agent("inbox", "validation", "ms", "s")
    for number in range(8):
        store.register_agent(f"w{number}", "validation", "ms", "s")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_send_and_take, args=(str(directory), n, results)) for n in range(8)]
    for worker in workers:
        worker.start()
    ended = [results.get(timeout=240) for _ in workers]
    for worker in workers:
        worker.join()
    sent = [number for numbers, _ in ended for number in numbers]
    taken = [number for _, numbers in ended for number in numbers]
    taken += [message["id"] for message in store.get_agent_messages("inbox", True)]
    assert sorted(sent) == sorted(taken) == list(range(1, 8 * SENT_BY_EACH + 1))
    assert opened().check() == []


# Edits by hand


def _edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_an_edit_by_hand_is_read(store, directory, connect):
    store.register_agent("a", "validation", "ms", "s")
    _edit(directory / "agent-registry/a.json", status="paused", current_task="by hand")
    assert connect().update_agent_status("a")["current_task"] == "by hand"


@pytest.mark.parametrize("damage", [
    lambda path: path.write_text("{"),
    lambda path: path.write_text(""),
    lambda path: path.write_bytes(b"\xff\xfe"),
    lambda path: path.write_text("[1]"),
    lambda path: path.write_text("[" * 100_000),
    lambda path: _edit(path, status="asleep"),
    lambda path: _edit(path, agent_type="asleep"),
    lambda path: _edit(path, life=0),
    lambda path: _edit(path, capabilities="{}"),
    lambda path: _edit(path, capabilities=["a list"]),
    lambda path: _edit(path, session_id="no such session"),
    lambda path: _edit(path, agent_id="b"),
    lambda path: _edit(path, agent_id=7),
    lambda path: _edit(path, colour="red"),
    lambda path: _edit(path, current_task="\ud800"),
    lambda path: _edit(path, spawn_time=10 ** 30),
    lambda path: path.with_name("b.json").write_bytes(path.read_bytes()),
])
def test_a_file_that_does_not_fit_is_named_and_left_as_it_is(store, directory, connect, opened, damage):
    store.register_agent("a", "validation", "ms", "s")
    count = len(files_below(directory))
    damage(directory / "agent-registry/a.json")
    files = files_below(directory)
    name = "a" if len(files) == count else "b"
    with pytest.raises(StorageError, match=rf"agent-registry/{name}\.json: .*left as it is") as caught:
        connect().agent_heartbeat(name)
    assert "\n" not in str(caught.value)
    with pytest.warns(MilestoneWarning, match=r"left out: .*agent-registry/[ab]\.json: .*left as it is"):
        assert len(connect().list_session_agents("s")) < 2
    assert files_below(directory) == files
    assert any("agent-registry/" in line for line in opened().check())


def test_a_missing_key_takes_the_default(store, directory, connect):
    store.register_agent("a", "validation", "ms", "s")
    (directory / "agent-registry/a.json").write_text('{"agent_id": "a", "agent_type": "validation", "session_id": "s"}')
    assert connect().update_agent_status("a")["status"] == "active"


def test_files_of_editors_are_passed_over(store, directory, connect):
    store.register_agent("a", "validation", "ms", "s")
    for name in (".a.json.swp", ".#a.json", "a.json~", "a.json.bak", ".DS_Store"):
        (directory / "agent-registry" / name).write_text("{")
    assert [row["agent_id"] for row in connect().list_session_agents("s")] == ["a"]


def test_a_message_added_by_hand_is_not_overwritten(store, directory, connect, opened):
    store.register_agent("b", "validation", "ms", "s")
    store.send_agent_message("b", "b", "progress_update", {"n": 1})
    path = directory / "agent-messages/00000001.jsonl"
    row = {**json.loads(path.read_text()), "id": 2, "payload": '{"n": 2}'}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    assert "raise that" in opened().check()[0]
    with pytest.raises(StorageError, match="not given out yet"):
        connect().send_agent_message("b", "b", "progress_update", {"n": 3})
    assert [message["payload"]["n"] for message in connect().get_agent_messages("b", True)] == [1, 2]
    assert connect().send_agent_message("b", "b", "progress_update", {"n": 3})["id"] == 3


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"schema_version": "x", "sequences": {}}'])
def test_a_damaged_head_is_named(store, directory, connect, opened, text):
    (directory / HEAD).write_text(text)
    with pytest.raises(StorageError, match=HEAD):
        connect().agent_heartbeat("a")
    assert HEAD in opened().check()[0]


def test_a_newer_store_is_refused(store, directory, connect):
    _edit(directory / HEAD, schema_version=99)
    with pytest.raises(StorageError, match="newer"):
        connect().agent_heartbeat("a")


def test_who_may_only_read_can_read(store, connect, monkeypatch):
    store.register_agent("a", "validation", "ms", "s")
    real = os.open

    def read_only(path, flags, *mode):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    reader = connect()
    assert [row["agent_id"] for row in reader.list_session_agents("s")] == ["a"]
    with pytest.raises(StorageError, match="make it writable"):
        reader.save_agent_state("a", "k", "v")


# The schema


def test_every_table_has_a_place(opened):
    storage = opened()
    with storage.snapshot():
        assert {table.name: table.key for table in storage.memory.tables} == {
            **TABLES, "store_moves": ("moved_to",)}
        assert all(any(place in FileStorage.FILES for place in (table.folder,)) for table in storage.memory.tables)


def test_indexes_of_open_messages_hold_no_acknowledged_one(opened):
    storage = opened()
    insert_agent(storage, "a")
    storage.execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, "
                    "delivered_at, acknowledged_at) VALUES ('s', 'a', 'a', 'progress_update', '{}', 'x', 'x')")
    with storage.snapshot():
        [table] = [table for table in storage.memory.tables if table.archived_by]
        for index in table.open_indexes:
            where = storage.execute("SELECT sql FROM sqlite_master WHERE name = :name",
                                    {"name": index})[0]["sql"].partition("WHERE")[2]
            assert where and storage.execute(f"SELECT * FROM agent_messages WHERE {where}") == []
