"""What this program asks SQLite in a call, asked again by hand: the rest of what a call costs is its own Python."""
from __future__ import annotations

import json
import os

from contender import AGENTS, MESSAGE, SNAPSHOT, VALUE
from floors import SameRows, now
from ours import Ours


class Recorder:
    """Stands for a cursor or connection, and notes each statement with its parameters."""

    def __init__(self, inner, noted):
        self.inner, self.noted = inner, noted

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def execute(self, sql, params=()):
        self.noted.append((sql, params))
        return self.inner.execute(sql, params)

    def executemany(self, sql, rows):
        self.noted.append((sql, rows[-1]))
        return self.inner.executemany(sql, rows)


class SameStatements(SameRows):
    """The statements of one call, recorded, in the same transaction and with JSON and times made, by hand."""

    name = "the same statements by hand"

    def __init__(self, folder, journal, synchronous):
        super().__init__(folder, journal, synchronous)
        self.recorded, self.state = {}, json.dumps(SNAPSHOT)
        place = os.path.join(folder, "recorded")
        os.mkdir(place)
        ours = Ours(place, journal, synchronous)
        for name in ("checkpoint", "heartbeat", "save", "load", "send", "take"):  # no snapshot of unread messages
            ours.prepare(name)
            call = getattr(ours, name)
            call(3)  # what only the first of a process asks is no part of it
            self.recorded[name] = record(ours.store.storage(), lambda call=call: call(3))
        ours.close()

    def _ask(self, name, **values):
        """All statements of an operation, with these values instead of those recorded; their rows."""
        return [row for sql, params in self.recorded[name] for row in self.run(sql, {**params, **values}).fetchall()]

    def send(self, n):
        self._ask("send", payload=json.dumps(MESSAGE), now=now())

    def save(self, n):
        agent = AGENTS[n % 100]
        self._ask("save", id=agent, agent=agent, key=f"key-{n % 1000}", value=json.dumps(VALUE), now=now())

    def load(self, n):
        json.loads(self._ask("load", agent=AGENTS[n % 100], key=f"key-{n % 1000}", now=now())[0][0])

    def heartbeat(self, n):
        self._ask("heartbeat", now=now())

    def take(self, n):
        agent, moment = AGENTS[n % 100], now()
        *read, (write, given), (commit, _) = self.recorded["take"]
        messages = [row for sql, params in read
                    for row in self.run(sql, {**params, "id": agent, "agent": agent, "now": moment}).fetchall()
                    if type(row[0]) is int]
        self.connection.executemany(write, [{**given, "id": row[0], "now": moment} for row in messages])
        self.run(commit)
        json.loads(messages[-1][5])

    def checkpoint(self, n):
        json.dumps({"state": self.state})
        for sql, params in self.recorded["checkpoint"]:
            self.run(sql, {**params, "id": f"cp-{n}"} if "snapshot" in params else params).fetchall()


def record(storage, call):
    """The statements and parameters that a call asks."""
    noted = []
    inner = storage.connection, storage._cursor
    storage.connection, storage._cursor = (Recorder(each, noted) for each in inner)
    try:
        call()
    finally:
        storage.connection, storage._cursor = inner
    return noted
