"""One schema with an empty store for one test after the other: to make one costs more than most tests do."""
from __future__ import annotations

import os
from pathlib import Path

from memory import invent_name

from milestone_persist import open_store
from milestone_persist.storage.postgresql.psql import Failed, Lost, Psql

EMPTY = Path(__file__).parent / "data" / "empty-schema.sql"


class SharedSchema:
    """The schema is emptied after each test, and made again when one has left more behind than rows."""

    def __init__(self, cluster, directory):
        self.cluster, self.directory, self.psql, self.name = cluster, directory, None, ""

    def lend(self):
        """The name of the schema, which holds an empty store."""
        if not self.name:
            self._make(invent_name("shared"))
            self.fingerprint = self._empty()
        return self.name

    def _make(self, name):
        environ = {"MILESTONE_DATABASE_URL": self.cluster.url, "MILESTONE_DATABASE_SCHEMA": name}
        with open_store(self.directory, environ={"PATH": os.environ["PATH"], **environ}) as store:
            store.initialize_agent_coordination()
        self.cluster.query("SET client_min_messages = error; DROP TABLE IF EXISTS settings; CREATE TABLE settings AS "
                           f"SELECT * FROM {name}.agent_coordination_config; DROP FUNCTION IF EXISTS empty_schema; "
                           + EMPTY.read_text())
        self.name = name

    def take_back(self):
        """Empty it; it is not lent again where that cannot be done or where more was changed than rows."""
        try:
            if self._empty() != self.fingerprint:
                self.name = ""
        except (Failed, Lost):
            self.close()
            self.name = ""

    def _empty(self):
        if not self.psql:
            self.psql = Psql(self.cluster.url, {"PATH": os.environ["PATH"]})
            self.psql.ask("SET client_min_messages = error; SET lock_timeout = '10s'; "
                          "SET session_replication_role = replica;")  # no trigger, no foreign key
        return self.psql.ask(f"SELECT row_to_json(q) FROM (SELECT empty_schema('{self.name}')) AS q;")

    def close(self):
        psql, self.psql = self.psql, None
        if psql:
            psql.stop()
