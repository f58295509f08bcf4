"""The floors: raw SQLite, and the rows that this program writes, written by hand."""
from __future__ import annotations

import json
import os
import sqlite3
import time

from contender import AGENTS, MESSAGE, SNAPSHOT, VALUE, Contender

SCHEMA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sql", "milestone-coordination.sql")


def now():
    """The present as text with milliseconds."""
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03d}"


class Floor(Contender):
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


class SameRows(Contender):
    """The rows and columns that this program writes, by hand: its schema, foreign keys, and no other look or check."""

    name = "the same rows by hand"

    def __init__(self, folder, journal, synchronous):
        self.connection = sqlite3.connect(os.path.join(folder, "hand.db"), isolation_level=None, timeout=30)
        self.connection.execute(f"PRAGMA journal_mode = {journal}")
        with open(SCHEMA, encoding="utf-8") as schema:
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
        super().prepare(name)
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
