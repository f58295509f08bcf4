"""The file backend reads the rows whose keys a statement names, and all of them where it may touch others."""
from __future__ import annotations

import json
import os

import pytest

from milestone_persist import StorageError
from milestone_persist.base.found import open_found
from milestone_persist.storage.jsonfiles import journal

pytestmark = pytest.mark.parametrize("backend", ["file"], indirect=True)


@pytest.fixture
def filled(connect):
    first = connect()
    for agent, session in (("a", "s"), ("b", "s"), ("c", "t")):
        first.register_agent(agent, "validation", "m", session)
        first.save_agent_state(agent, "k", agent)
        first.save_agent_state(agent, "l", agent)
    first.storage().execute("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
                            "VALUES ('s', 'a', 't', 'x-n', '{}')")
    return first


GIVEN = {"id": "a", "key": "k", "session": "s", "type": "validation"}
QUESTIONS = [
    ("SELECT agent_id FROM agent_registry WHERE agent_id = :id", ["a"]),
    ("SELECT agent_id FROM agent_registry r WHERE r.agent_id = :id AND r.status = 'active'", ["a"]),
    ("SELECT agent_id FROM agent_registry WHERE agent_id = :id OR session_id = :session", ["a", "b"]),
    ("SELECT agent_id FROM agent_registry WHERE (agent_id = :id OR session_id = :session)", ["a", "b"]),
    ("SELECT agent_id FROM agent_registry WHERE NOT agent_id = :id", ["b", "c"]),
    ("SELECT agent_id FROM agent_registry WHERE agent_id <> :id", ["b", "c"]),
    ("SELECT agent_id FROM agent_registry WHERE agent_id >= :id", ["a", "b", "c"]),
    ("SELECT agent_id FROM agent_registry WHERE agent_id = :id UNION ALL SELECT agent_id FROM agent_registry", [
        "a", "a", "b", "c"]),
    ("SELECT agent_id FROM agent_registry WHERE agent_id = :id UNION SELECT agent_id FROM agent_state", [
        "a", "b", "c"]),
    ("SELECT agent_id FROM agent_registry WHERE agent_id IN (SELECT agent_id FROM agent_state WHERE state_key = :key)",
     ["a", "b", "c"]),
    ("SELECT b.agent_id FROM agent_registry a JOIN agent_registry b ON b.session_id = a.session_id "
     "WHERE a.agent_id = :id", ["a", "b"]),
    ("SELECT b.agent_id FROM agent_registry a, agent_registry b WHERE a.agent_id = :id", ["a", "b", "c"]),
    ("SELECT agent_id FROM active_agents WHERE agent_id = :id OR 1 = 1", ["a", "b", "c"]),
    ("SELECT agent_id FROM (SELECT * FROM agent_registry) AS told", ["a", "b", "c"]),
    ("SELECT k.session_id AS agent_id FROM agent_registry a JOIN coordination_sessions k "
     "ON k.session_id = a.session_id WHERE a.agent_id = :id", ["s"]),
    ("SELECT k.session_id AS agent_id FROM agent_state a JOIN coordination_sessions k ON k.session_id = a.saved_in "
     "WHERE a.agent_id = :id AND a.state_key = :key", ["s"]),
    ("SELECT k.session_id AS agent_id FROM agent_registry a JOIN coordination_sessions k "
     "ON k.session_id = a.session_id OR k.status = 'active' WHERE a.agent_id = :id", ["s", "t"]),
    ("SELECT state_key AS agent_id FROM agent_state WHERE agent_id = :id", ["k", "l"]),
    ("SELECT state_key AS agent_id FROM agent_state WHERE agent_id = :id AND state_key = :key", ["k"]),
    ("SELECT agent_id FROM agent_state WHERE state_key = :key", ["a", "b", "c"]),
    ("SELECT count(*) AS agent_id FROM agent_state WHERE agent_id = :id AND state_key = :key || 'x'", [0]),
    ("SELECT agent_id FROM agent_state WHERE state_key = :key AND agent_id = 'b'", ["b"]),
    ("SELECT a.agent_id FROM agent_registry a LEFT JOIN agent_state s ON s.agent_id = a.agent_id "
     "AND s.state_key = :key AND a.agent_id = :id", ["a", "b", "c"]),
    ("SELECT agent_id FROM agent_registry EXCEPT SELECT agent_id FROM agent_registry WHERE agent_id = :id", ["b", "c"]),
    ("SELECT agent_id FROM agent_registry WHERE CASE WHEN 1 = 2 AND agent_id = :id AND 1 = 1 THEN 0 ELSE 1 END",
     ["a", "b", "c"]),
    ("SELECT k.session_id AS agent_id FROM coordination_sessions k JOIN agent_registry a "
     "ON a.session_id = k.session_id WHERE a.agent_id = :id", ["s"]),
    ("SELECT k.session_id AS agent_id FROM agent_messages a JOIN coordination_sessions k ON k.session_id = a.to_agent "
     "WHERE a.from_agent IN (SELECT a.agent_id FROM agent_state a WHERE a.agent_id = :id)", ["t"]),
    ("WITH told AS (SELECT agent_id FROM agent_registry) SELECT agent_id FROM told", ["a", "b", "c"]),
]


@pytest.mark.parametrize("sql, found", QUESTIONS)
def test_a_question_finds_every_row_it_asks_for(filled, opened, sql, found):
    assert sorted(row["agent_id"] for row in opened().execute(sql, GIVEN)) == found
    open_already = opened()
    assert open_already.execute("SELECT agent_id FROM agent_registry WHERE agent_id = :id", {"id": "c"})
    assert sorted(row["agent_id"] for row in open_already.execute(sql, GIVEN)) == found


def test_a_number_finds_the_text_that_it_is_as_in_sqlite(filled, opened):
    filled.register_agent("7", "validation", "m", "s")
    assert opened().execute("SELECT status FROM agent_registry WHERE agent_id = :id", {"id": 7}) == [
        {"status": "active"}]


CHANGES = [
    ("UPDATE agent_registry SET current_task = 'x' WHERE agent_id = :id", 1),
    ("UPDATE agent_registry SET current_task = 'x' WHERE agent_id = :id OR session_id = :session", 2),
    ("UPDATE agent_registry SET current_task = 'x' WHERE agent_id IN (SELECT agent_id FROM agent_state)", 3),
    ("UPDATE agent_registry SET current_task = 'x'", 3),
    ("INSERT INTO agent_registry (agent_id, agent_type, session_id, current_task) VALUES (:id, :type, :session, 'x') "
     "ON CONFLICT (agent_id) DO UPDATE SET current_task = excluded.current_task", 1),
    ("INSERT INTO agent_registry (agent_id, agent_type, session_id, current_task) VALUES ('b', 'validation', 't', 'x') "
     "ON CONFLICT (agent_id) DO UPDATE SET current_task = excluded.current_task", 1),
    ("INSERT INTO agent_registry (agent_id, agent_type, session_id, current_task) VALUES (:id, :type, :session, 'x'), "
     "('b', :type, :session, 'x, y') ON CONFLICT (agent_id) DO UPDATE SET current_task = 'x'", 2),
    ("INSERT INTO agent_registry (current_task, agent_id, agent_type, session_id) "
     "VALUES ('x, y', 'b', :type, :session) ON CONFLICT (agent_id) DO UPDATE SET current_task = 'x'", 1),
    ("INSERT INTO agent_registry (agent_id, agent_type, session_id, current_task) "
     "SELECT agent_id || '-2', agent_type, session_id, 'x' FROM agent_registry", 3),
]


@pytest.mark.parametrize("sql, number", CHANGES)
def test_a_change_changes_every_row_that_it_is_for(filled, opened, sql, number):
    storage = opened()
    with storage.transaction():
        storage.execute(sql, GIVEN)
    for one in (storage, opened()):
        assert one.execute("SELECT count(*) AS n FROM agent_registry WHERE current_task = 'x'")[0]["n"] == number
        assert one.execute("SELECT life FROM agent_registry WHERE agent_id = 'a'") == [{"life": 1}]
        assert one.check() == []


def test_a_row_that_is_there_is_not_added_again(filled, opened):
    for values in (":id, :type, :session", "'a', 'validation', 's'"):
        with pytest.raises(Exception, match="UNIQUE constraint failed"):
            opened().execute(f"INSERT INTO agent_registry (agent_id, agent_type, session_id) VALUES ({values})", GIVEN)


@pytest.mark.parametrize("session, refused", [("s", False), ("t", False), ("nowhere", True), (None, True)])
def test_what_a_row_refers_to_must_be_there(filled, opened, session, refused):
    tries = ["INSERT INTO agent_registry (agent_id, agent_type, session_id) VALUES (:new, 'validation', :to)",
             ("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload) "
              "VALUES (:to, 'a', 'b', 'x-n', '{}')"),
             "UPDATE agent_registry SET session_id = :to WHERE agent_id = :id"]
    for sql in tries:
        storage = opened()
        if refused:
            with pytest.raises(Exception, match="missing|NOT NULL"):
                storage.execute(sql, {**GIVEN, "new": "d", "to": session})
        else:
            storage.execute(sql, {**GIVEN, "new": "d", "to": session})
        assert opened().check() == []


def test_a_key_that_has_expired_is_removed_by_who_saves_next(filled, connect, clock, directory):
    filled.save_agent_state("c", "short", "v", "temp_data", 60)
    path = directory / "agent-state/c=short.json"
    head = directory / "file-store.json"
    assert path.exists() and list(json.loads(head.read_text())["expiring"]) == [path.name]
    connect().save_agent_state("a", "new", "v")
    assert path.exists()
    clock.advance(61)
    connect().save_agent_state("a", "newer", "v")
    assert not path.exists() and json.loads(head.read_text())["expiring"] == {}
    assert filled.save_agent_state("c", "short", "v")["version"] == 2


@pytest.mark.parametrize("told", [
    {"../../outside.json": "2000"}, {"none.json": "2000"}, {"a=k.json": 7}, {"a=k.json": "2000"}, [], None, "x",
    {"": "2000"}, {".json": "2000"}])
def test_what_a_head_tells_of_keys_that_expire_is_only_a_hint(filled, connect, directory, tmp_path, told):
    head = directory / "file-store.json"
    (tmp_path / "outside.json").write_text("{")
    head.write_text(json.dumps({**json.loads(head.read_text()), "expiring": told}))
    store = connect()
    store.save_agent_state("b", "new", "v")
    assert store.load_agent_state("a", "k") == "a" and connect().load_agent_state("b", "new") == "v"


def test_a_corrupt_session_stops_no_agent_in_it(filled, connect, directory):
    path = directory / "coordination-sessions/s.json"
    text = path.read_text()
    path.write_text("{")
    store = connect()
    store.save_agent_state("c", "k", "new")
    assert store.load_agent_state("c", "k") == "new"
    with pytest.warns(match="left out: .*s.json"):
        store.agent_heartbeat("a")
        assert store.load_agent_state("a", "k") == "a"
        store.delete_agent_state("b", "l")
    with pytest.raises(StorageError, match="s.json"):
        store.get_session_status("s")
    path.write_text(text)
    assert connect().load_agent_state("a", "k") == "a" and store.get_session_status("s")["agent_count"] == 2
    assert [row["state_key"] for row in connect().list_agent_state("b")] == ["k"]


@pytest.fixture
def looks(filled, connect, monkeypatch):
    """Whether the call of another process looks for silent agents: then it reads the agents it does not name."""
    read = []
    monkeypatch.setattr(journal, "open_found", lambda path: read.append(path) or open_found(path))

    def looks():
        read.clear()
        connect().get_agent_messages("a", True)
        return any(path.endswith("agent-registry/c.json") for path in read)

    return looks


def test_one_of_all_processes_looks_for_silent_agents(looks, clock):
    found = []
    for seconds in (60, 1, 13, 2, 20, -500):
        clock.advance(seconds)
        found.append(looks())
    assert found == [True, False, False, True, True, True]


@pytest.mark.parametrize("away", [-15, 1, 14, 16, 86400, 2**31, -2**31])
def test_a_last_look_that_was_long_ago_or_is_yet_to_come_keeps_nobody_from_looking(looks, clock, directory, away):
    clock.advance(60)
    assert looks() and not looks()
    os.utime(directory / "file-store.queue", (clock.time() + away,) * 2)
    assert looks() and not looks()


def test_no_other_call_counts_as_a_look(looks, clock, filled):
    clock.advance(60)
    assert looks()
    clock.advance(14)
    filled.agent_heartbeat("a")
    filled.save_agent_state("b", "k", "new")
    filled.get_session_status("s")
    assert not looks()
    clock.advance(1)
    assert looks()


@pytest.fixture
def archived(filled, directory):
    """Reads the numbers of the messages that lie in each file; 250 were acknowledged by their reader."""
    filled.storage().execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) "
        "INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, delivered_at, "
        "acknowledged_at) SELECT 's', 'a', 'b', 'x-n', '{}', '2026-01-01', '2026-01-01' FROM n")

    def archived():
        home = directory / "agent-messages"
        return {str(path.relative_to(home)): [json.loads(line)["id"] for line in path.read_text().splitlines()]
                for path in home.rglob("*.jsonl")}
    return archived


def test_an_acknowledged_message_is_put_back_from_its_file_alone(filled, archived, connect, monkeypatch):
    before, read, found = archived(), [], open_found
    monkeypatch.setattr(journal, "open_found", lambda path: read.append(path) or found(path))
    store = connect()
    assert store.requeue_agent_message("b", 120)["was"] == "acknowledged"
    assert [os.path.basename(path) for path in read if "/acknowledged/" in path] == ["00000101.jsonl"] * 2
    after = archived()
    assert after.pop("00000101.jsonl") == [120]
    assert after == {**before, "acknowledged/00000101.jsonl": [*range(101, 120), *range(121, 201)]}
    assert [row["id"] for row in store.get_agent_messages("b")] == [120]


def test_archived_messages_that_were_read_one_by_one_are_counted_once(filled, archived, connect):
    store = connect()
    storage = store.storage()
    count = "SELECT count(*) AS n FROM agent_messages WHERE acknowledged_at IS NOT NULL"
    with storage.snapshot():
        for number in 30, 130:
            assert len(storage.execute("SELECT id FROM agent_messages WHERE id = :id", {"id": number})) == 1
        assert storage.execute(count) == [{"n": 250}]
    store = connect()
    assert store.acknowledge_agent_message("b", 130)["id"] == 130
    assert store.requeue_agent_message("b", 131)["was"] == "acknowledged"
    store.acknowledge_agent_message("b", 131)
    assert store.storage().execute(count) == connect().storage().execute(count) == [{"n": 250}]
