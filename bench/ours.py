"""This program, by its Python API."""
from __future__ import annotations

import json
import os
import sys

from contender import AGENTS, MESSAGE, SNAPSHOT, VALUE, Contender


class Ours(Contender):
    """The Python API; agents are registered, every value is checked, foreign keys are on."""

    name = "milestone_persist"

    def __init__(self, folder, journal, synchronous):
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
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
        super().prepare(name)
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
