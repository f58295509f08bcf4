"""The peers, as far as they are installed."""
from __future__ import annotations

import json
import os
import sqlite3

from contender import AGENTS, MESSAGE, SNAPSHOT, VALUE, Contender


class LiteQueue(Contender):
    name = "litequeue"

    def __init__(self, folder, journal, synchronous):
        import litequeue

        self.queue = litequeue.LiteQueue(os.path.join(folder, "litequeue.db"))

    def send(self, n):
        self.queue.put(json.dumps(MESSAGE))

    def take(self, n):
        json.loads(self.queue.pop().data)

    def send_1000(self, n):
        with self.queue.transaction(mode="IMMEDIATE"):
            for _ in range(1000):
                self.queue.put(json.dumps(MESSAGE))


class PersistQueue(Contender):
    name = "persist-queue"

    def __init__(self, folder, journal, synchronous):
        import persistqueue

        self.queue = persistqueue.SQLiteAckQueue(os.path.join(folder, "ack"))
        self.keys = persistqueue.PDict(os.path.join(folder, "keys"), "state")

    def send(self, n):
        self.queue.put(MESSAGE)

    def take(self, n):
        self.queue.get(block=False)

    def save(self, n):
        self.keys[f"key-{n % 1000}"] = VALUE  # which it makes JSON itself

    def load(self, n):
        return self.keys[f"key-{n % 1000}"]


class DiskCache(Contender):
    name = "diskcache"

    def __init__(self, folder, journal, synchronous):
        import diskcache

        self.cache = diskcache.Cache(os.path.join(folder, "diskcache"))

    def send(self, n):
        self.cache.push(json.dumps(MESSAGE), prefix=AGENTS[n % 100])

    def take(self, n):
        json.loads(self.cache.pull(prefix=AGENTS[n % 100])[1])

    def save(self, n):
        self.cache[f"key-{n % 1000}"] = json.dumps(VALUE)

    def load(self, n):
        json.loads(self.cache[f"key-{n % 1000}"])


class Huey(Contender):
    name = "huey"

    def __init__(self, folder, journal, synchronous):
        from huey.storage import SqliteStorage

        self.queue = SqliteStorage("q", filename=os.path.join(folder, "huey.db"))

    def send(self, n):
        self.queue.enqueue(json.dumps(MESSAGE).encode())

    def take(self, n):
        json.loads(bytes(self.queue.dequeue()))


class LangGraph(Contender):
    name = "langgraph-checkpoint-sqlite"

    def __init__(self, folder, journal, synchronous):
        from langgraph.checkpoint.base import empty_checkpoint
        from langgraph.checkpoint.sqlite import SqliteSaver

        connection = sqlite3.connect(os.path.join(folder, "langgraph.db"), check_same_thread=False)
        self.saver, self.empty = SqliteSaver(connection), empty_checkpoint
        self.saver.setup()
        connection.execute(f"PRAGMA synchronous = {synchronous}")

    def checkpoint(self, n):
        point = {**self.empty(), "channel_values": SNAPSHOT}
        self.saver.put({"configurable": {"thread_id": AGENTS[n % 100], "checkpoint_ns": ""}}, point, {}, {})


PEERS = (LiteQueue, PersistQueue, DiskCache, Huey, LangGraph)
