"""Who is measured: raw SQLite (the floor), the same rows written by hand, this program, and the peers that are there.

Each has some of the methods send, take, save, load, heartbeat, checkpoint, send_1000, save_1000, called with a number.
`prepare` is called once before an operation is measured, with its name.
"""
from __future__ import annotations

import json
import os
import sqlite3
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AGENTS = [f"agent-{n:03d}" for n in range(100)]
MESSAGE = {"type": "task", "from": "planner", "title": "implement step 000001", "body": "x" * 108}  # 200 bytes
VALUE = {"n": 1, "items": [{"id": n, "name": f"item-{n:02d}", "ok": True} for n in range(22)]}  # 1 KB as JSON
SNAPSHOT = {"n": 1, "steps": [{"id": n, "name": f"step-{n:03d}", "out": "z" * 60} for n in range(100)]}  # 10 KB


def now():
    """The present as text with milliseconds."""
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03d}"


def fill(contender, name):
    """Before takes and loads are measured: something to take, and the keys."""
    if name == "take":
        for n in range(8 if hasattr(contender, "send_1000") else 2000):
            getattr(contender, "send_1000", contender.send)(n)
    if name == "load":
        for n in range(1000):
            contender.save(n)


class Floor:
    """One statement each, autocommitted, on a table that has what is needed and no more."""

    name = "raw SQLite"

    def __init__(self, folder, journal, synchronous):
        self.connection = sqlite3.connect(os.path.join(folder, "raw.db"), isolation_level=None, timeout=30)
        self.connection.execute(f"PRAGMA journal_mode = {journal}")
        self.connection.execute(f"PRAGMA synchronous = {synchronous}")
        self.connection.executescript("""
            CREATE TABLE messages (id INTEGER PRIMARY KEY, reader TEXT NOT NULL, sender TEXT NOT NULL,
                priority INTEGER NOT NULL, taken REAL, body TEXT NOT NULL, created REAL NOT NULL);
            CREATE INDEX pending ON messages (reader, priority DESC, id) WHERE taken IS NULL;
            CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated REAL NOT NULL);
            CREATE TABLE agents (id TEXT PRIMARY KEY, beat REAL);
            CREATE TABLE checkpoints (id INTEGER PRIMARY KEY, agent TEXT, body TEXT, created REAL);""")
        self.connection.executemany("INSERT INTO agents VALUES (?, 0)", [(agent,) for agent in AGENTS])
        self.run = self.connection.execute

    def close(self):
        self.connection.close()

    prepare = fill

    INSERT = "INSERT INTO messages (reader, sender, priority, body, created) VALUES (?, ?, ?, ?, ?)"
    SAVE = ("INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
            "updated = excluded.updated")

    def send(self, n):
        self.run(self.INSERT, (AGENTS[n % 100], "planner", 5, json.dumps(MESSAGE), time.time()))

    def take(self, n):
        [(_, body)] = self.run(
            "UPDATE messages SET taken = ? WHERE id = (SELECT id FROM messages WHERE reader = ? AND taken IS NULL "
            "ORDER BY priority DESC, id LIMIT 1) RETURNING id, body", (time.time(), AGENTS[n % 100])).fetchall()
        json.loads(body)

    def save(self, n):
        self.run(self.SAVE, (f"key-{n % 1000}", json.dumps(VALUE), time.time()))

    def load(self, n):
        json.loads(self.run("SELECT value FROM state WHERE key = ?", (f"key-{n % 1000}",)).fetchone()[0])

    def heartbeat(self, n):
        self.run("UPDATE agents SET beat = ? WHERE id = ?", (time.time(), AGENTS[n % 100]))

    def checkpoint(self, n):
        self.run("INSERT INTO checkpoints (agent, body, created) VALUES (?, ?, ?)",
                 (AGENTS[n % 100], json.dumps(SNAPSHOT), time.time()))

    def send_1000(self, n):
        self.run("BEGIN IMMEDIATE")
        self.connection.executemany(self.INSERT, [(AGENTS[k % 100], "planner", 5, json.dumps(MESSAGE), time.time())
                                                  for k in range(1000)])
        self.run("COMMIT")

    def save_1000(self, n):
        self.run("BEGIN IMMEDIATE")
        self.connection.executemany(self.SAVE, [(f"key-{k}", json.dumps(VALUE), time.time()) for k in range(1000)])
        self.run("COMMIT")


class FloorAgain(Floor):
    """The same once more: how far it is from 1 is the noise."""

    name = "raw SQLite again"


class SameRows:
    """The rows and columns that this program writes, by hand: its schema, foreign keys, and no other look or check."""

    name = "the same rows by hand"
    def __init__(self, folder, journal, synchronous):
        self.connection = sqlite3.connect(os.path.join(folder, "hand.db"), isolation_level=None, timeout=30)
        self.connection.execute(f"PRAGMA journal_mode = {journal}")
        with open(os.path.join(ROOT, "sql", "milestone-coordination.sql"), encoding="utf-8") as schema:
            self.connection.executescript(schema.read())
        self.connection.execute(f"PRAGMA synchronous = {synchronous}")
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.run = self.connection.execute
        self.run("INSERT INTO milestones (id) VALUES ('ms-1')")
        self.run("INSERT INTO coordination_sessions (session_id, milestone_id) VALUES ('planning-1', 'ms-1')")
        self.connection.executemany("INSERT INTO agent_registry (agent_id, agent_type, milestone_id, session_id) "
                                    "VALUES (?, 'scope-analyzer', 'ms-1', 'planning-1')", [(one,) for one in AGENTS])

    def close(self):
        self.connection.close()

    def prepare(self, name):
        fill(self, name)
        if name == "checkpoint":
            for agent in AGENTS:
                self.run(self.SAVE, self._state(agent, "steps", json.dumps(SNAPSHOT), now()))

    SEND = ("INSERT INTO agent_messages (session_id, from_agent, to_agent, message_type, payload, priority, "
            "created_at, sent_for) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
    SAVE = ("INSERT INTO agent_state (agent_id, saved_in, state_key, state_value, state_type, created_at, updated_at, "
            "is_json) VALUES (?, ?, ?, ?, 'user_data', ?, ?, 1) ON CONFLICT (agent_id, state_key) DO UPDATE SET "
            "saved_in = excluded.saved_in, state_value = excluded.state_value, state_type = excluded.state_type, "
            "updated_at = excluded.updated_at, expires_at = excluded.expires_at, is_json = excluded.is_json, "
            "version = agent_state.version + 1")

    def _message(self, n, moment):
        return "planning-1", AGENTS[1], AGENTS[n % 100], "x-note", json.dumps(MESSAGE), 5, moment, "ms-1"

    def _state(self, agent, key, value, moment):
        return agent, "planning-1", key, value, moment, moment

    def send(self, n):
        self.run(self.SEND, self._message(n, now()))

    def take(self, n):
        agent, moment = AGENTS[n % 100], now()
        self.run("BEGIN IMMEDIATE")
        self.run("UPDATE agent_messages SET acknowledged_at = ?, processed_at = ? WHERE to_agent = ? AND delivered_at "
                 "IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL", (moment, moment, agent))
        [row] = self.run(
            "UPDATE agent_messages SET delivered_at = ?, taken_in_life = 1 WHERE id = (SELECT id FROM agent_messages "
            "WHERE to_agent = ? AND delivered_at IS NULL AND dead_lettered_at IS NULL ORDER BY priority DESC, id "
            "LIMIT 1) RETURNING id, session_id, from_agent, message_type, payload, priority, created_at, retry_count",
            (moment, agent)).fetchall()
        self.run("COMMIT")
        json.loads(row[4])

    def save(self, n):
        self.run(self.SAVE, self._state(AGENTS[n % 100], f"key-{n % 1000}", json.dumps(VALUE), now()))

    def load(self, n):
        json.loads(self.run("SELECT state_value FROM agent_state WHERE agent_id = ? AND state_key = ?",
                            (AGENTS[n % 100], f"key-{n % 1000}")).fetchone()[0])

    def heartbeat(self, n):
        self.run("UPDATE agent_registry SET last_heartbeat = ? WHERE agent_id = ?", (now(), AGENTS[n % 100]))

    def checkpoint(self, n):
        agent, moment = AGENTS[n % 100], now()
        self.run("BEGIN IMMEDIATE")
        keys = self.run("SELECT state_key, state_value, state_type, version, is_json, saved_in, created_at, "
                        "updated_at, expires_at FROM agent_state WHERE agent_id = ?", (agent,)).fetchall()
        point = f"cp-{time.monotonic_ns()}"
        self.run("INSERT INTO agent_checkpoints (checkpoint_id, agent_id, session_id, checkpoint_type, state_snapshot, "
                 "created_at, retention_until) VALUES (?, ?, 'planning-1', 'manual', ?, ?, '2099-01-01 00:00:00.000')",
                 (point, agent, json.dumps({"state": keys}), moment))
        self.run("INSERT INTO events (timestamp, event, session_id, agent_id, milestone_id, detail) VALUES "
                 "(?, 'checkpoint_created', 'planning-1', ?, 'ms-1', ?)", (moment, agent, point))
        self.run("COMMIT")

    def send_1000(self, n):
        moment = now()
        self.run("BEGIN IMMEDIATE")
        self.connection.executemany(self.SEND, [self._message(k, moment) for k in range(1000)])
        self.run("COMMIT")

    def save_1000(self, n):
        moment = now()
        self.run("BEGIN IMMEDIATE")
        self.connection.executemany(self.SAVE, [self._state(AGENTS[1], f"key-{k}", json.dumps(VALUE), moment)
                                                for k in range(1000)])
        self.run("COMMIT")


class Ours:
    """The Python API; agents are registered, every value is checked, foreign keys are on."""

    name = "milestone_persist"

    def __init__(self, folder, journal, synchronous):
        sys.path.insert(0, ROOT)
        from milestone_persist import open_store

        self.store = open_store(os.path.join(folder, "store"), environ={"MILESTONE_BACKEND": "hybrid"})
        self.store.batch([["register_agent", agent, "scope-analyzer", "ms-1", "planning-1"] for agent in AGENTS],
                         atomic=True)  # before that there is no file
        if synchronous == "NORMAL":
            self.store.set_storage_config("synchronous", "normal")
        [done] = self.store.storage().run(f"PRAGMA journal_mode = {journal}")
        assert done["journal_mode"] == journal.lower(), done

    def close(self):
        self.store.close()

    def prepare(self, name):
        fill(self, name)
        if name == "checkpoint":
            self.store.batch([["save_agent_state", agent, "steps", json.dumps(SNAPSHOT)] for agent in AGENTS],
                             atomic=True)

    def send(self, n):
        self.store.send_agent_message(AGENTS[1], AGENTS[n % 100], "x-note", MESSAGE)

    def take(self, n):
        [message] = self.store.get_agent_messages(AGENTS[n % 100], True, 1)

    def save(self, n):
        self.store.save_agent_state(AGENTS[n % 100], f"key-{n % 1000}", json.dumps(VALUE))

    def load(self, n):
        json.loads(self.store.load_agent_state(AGENTS[n % 100], f"key-{n % 1000}"))

    def heartbeat(self, n):
        self.store.agent_heartbeat(AGENTS[n % 100])

    def checkpoint(self, n):
        self.store.create_agent_checkpoint(AGENTS[n % 100])

    def send_1000(self, n):
        self.store.send_many(AGENTS[1], [
            {"to_agent": AGENTS[k % 100], "message_type": "x-note", "payload": MESSAGE} for k in range(1000)])

    def save_1000(self, n):
        self.store.save_many(AGENTS[1], {f"key-{k}": VALUE for k in range(1000)})  # which makes JSON of it


class LiteQueue:
    name = "litequeue"

    def __init__(self, folder, journal, synchronous):
        import litequeue

        self.queue = litequeue.LiteQueue(os.path.join(folder, "litequeue.db"))

    prepare = fill

    def send(self, n):
        self.queue.put(json.dumps(MESSAGE))

    def take(self, n):
        json.loads(self.queue.pop().data)

    def send_1000(self, n):
        with self.queue.transaction(mode="IMMEDIATE"):
            for _ in range(1000):
                self.queue.put(json.dumps(MESSAGE))


class PersistQueue:
    name = "persist-queue"

    def __init__(self, folder, journal, synchronous):
        import persistqueue

        self.queue = persistqueue.SQLiteAckQueue(os.path.join(folder, "ack"))
        self.keys = persistqueue.PDict(os.path.join(folder, "keys"), "state")

    prepare = fill

    def send(self, n):
        self.queue.put(MESSAGE)

    def take(self, n):
        self.queue.get(block=False)

    def save(self, n):
        self.keys[f"key-{n % 1000}"] = VALUE  # which it makes JSON itself

    def load(self, n):
        return self.keys[f"key-{n % 1000}"]


class DiskCache:
    name = "diskcache"

    def __init__(self, folder, journal, synchronous):
        import diskcache

        self.cache = diskcache.Cache(os.path.join(folder, "diskcache"))

    prepare = fill

    def send(self, n):
        self.cache.push(json.dumps(MESSAGE), prefix=AGENTS[n % 100])

    def take(self, n):
        json.loads(self.cache.pull(prefix=AGENTS[n % 100])[1])

    def save(self, n):
        self.cache[f"key-{n % 1000}"] = json.dumps(VALUE)

    def load(self, n):
        json.loads(self.cache[f"key-{n % 1000}"])


class Huey:
    name = "huey"

    def __init__(self, folder, journal, synchronous):
        from huey.storage import SqliteStorage

        self.queue = SqliteStorage("q", filename=os.path.join(folder, "huey.db"))

    prepare = fill

    def send(self, n):
        self.queue.enqueue(json.dumps(MESSAGE).encode())

    def take(self, n):
        json.loads(bytes(self.queue.dequeue()))


class LangGraph:
    name = "langgraph-checkpoint-sqlite"

    def __init__(self, folder, journal, synchronous):
        from langgraph.checkpoint.base import empty_checkpoint
        from langgraph.checkpoint.sqlite import SqliteSaver

        connection = sqlite3.connect(os.path.join(folder, "langgraph.db"), check_same_thread=False)
        self.saver, self.empty = SqliteSaver(connection), empty_checkpoint
        self.saver.setup()
        connection.execute(f"PRAGMA synchronous = {synchronous}")

    prepare = fill

    def checkpoint(self, n):
        point = {**self.empty(), "channel_values": SNAPSHOT}
        self.saver.put({"configurable": {"thread_id": AGENTS[n % 100], "checkpoint_ns": ""}}, point, {}, {})


ALL = (Floor, FloorAgain, SameRows, Ours, LiteQueue, PersistQueue, DiskCache, Huey, LangGraph)
