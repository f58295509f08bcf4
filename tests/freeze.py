"""Freezes the present version of the schema: `python3 tests/freeze.py`, in a checkout whose schema is that version.

Writes sql/history/N.sql and N.postgresql.sql, and in tests/data/version-N/ a store of each engine with rows in every
table. To be run once, before the schema is changed; the files are never changed again. Needs PostgreSQL.
"""
from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cluster import Cluster, find_program  # noqa: E402

from milestone_persist import open_store  # noqa: E402
from milestone_persist.base.tables import SCHEMA_VERSION, TABLES  # noqa: E402
from milestone_persist.storage.call import Clock  # noqa: E402

NASTY = "it's \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"
TARGET = ROOT / "tests" / "data" / f"version-{SCHEMA_VERSION}"
UNPORTABLE = re.compile(r"^(SET (?!check_function_bodies).*|\\(un)?restrict.*|--.*|SELECT pg_catalog.set_config.*)?\n",
                        re.M)  # settings that other servers and other versions of psql do not know


MORE = {"idempotency_keys": "INSERT INTO idempotency_keys (caller, operation, key, content_digest, result) "
                            "VALUES ('a', 'send_agent_message', 'k', 'd', '{\"id\": 1}')"}


class HandMoved(Clock):
    """Time that moves by a second whenever it is asked."""

    seconds = 1767225600.0  # 2026-01-01

    def time(self):
        self.seconds += 1
        return self.seconds


def fill(store):
    """Rows in every table, of every kind that a version may have to tell apart."""
    store.create_milestone_record("ms-1", f"title: One\nstatus: active\nnote: |\n  {NASTY!r}\n")
    store.create_milestone_record("ms-2", "title: Two\nstatus: planned\n")
    store.acquire_milestone_lock("ms-1", owner="a")
    for agent, session in (("coord", "planning-1"), ("a", "planning-1"), ("b", "planning-1"), ("c", "execution-1")):
        kind = "milestone-coordinator" if agent == "coord" else "x-own" if agent == "c" else "validation"
        store.register_agent(agent, kind, "ms-1", session, ["run", NASTY])
    store.save_agent_state("a", "text", NASTY)
    store.save_agent_state("a", "json", '{"n": 1.50, "é": null}', "progress")
    store.save_agent_state("a", "json", '{"n": 2}', "progress")
    store.save_agent_state("b", "for a while", "v", "temp_data", 10 ** 9)
    store.save_agent_state("b", "gone", "v")
    store.delete_agent_state("b", "gone")
    store.agent_heartbeat("a", "healthy")
    for number in range(1, 6):
        store.send_agent_message("a", "b", "task_assignment", {"n": number, "text": NASTY}, priority=number)
    taken = store.get_agent_messages("b", True, 2)
    store.acknowledge_agent_message("b", taken[0]["id"])
    store.send_agent_message("b", "c", "x-note", {})
    store.set_storage_config("message_retry_limit", "1")
    for _ in range(2):  # then what it takes is a dead letter
        store.update_agent_status("c", "active")
        store.get_agent_messages("c", True)
        store.update_agent_status("c", "failed")
    store.send_agent_message("b", "nobody", "error_report", {"why": NASTY})
    store.create_agent_checkpoint("a", "manual")
    store.update_session_progress("planning-1", 40, "design")
    store.log_milestone_event("noted", "ms-1", NASTY)


def make_store(directory, **environ):
    with open_store(directory, clock=HandMoved(), environ={"PATH": os.environ["PATH"], **environ}) as store:
        fill(store)
        for table in TABLES:  # what no operation writes yet, and what must not be forgotten
            if not store.storage().execute(f"SELECT * FROM {table}"):
                store.storage().execute(MORE[table])
        return store.export_coordination()["file"]


def freeze_sqlite(directory):
    shutil.copy(make_store(directory, MILESTONE_BACKEND="database"), TARGET / "export.jsonl")
    connection = sqlite3.connect(directory / "coordination.db")
    lines = [f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
             for name in ("application_id", "user_version")]
    (TARGET / "sqlite.sql").write_text("\n".join([*lines, *connection.iterdump()]) + "\n", encoding="utf-8")
    connection.close()


def freeze_files(directory):
    make_store(directory, MILESTONE_BACKEND="file")
    beside = shutil.ignore_patterns(".*", "*.lock", "*.queue", "logs", "backups")
    shutil.copytree(directory, TARGET / "file", ignore=beside)


def freeze_postgresql(directory):
    cluster = Cluster()
    try:
        make_store(directory, MILESTONE_DATABASE_URL=cluster.url)
        done = subprocess.run([find_program("pg_dump"), "-d", cluster.url, "-n", "milestone_persist", "--no-owner",
                               "--column-inserts"], check=True, stdout=subprocess.PIPE)
        text = UNPORTABLE.sub("", done.stdout.decode())
        (TARGET / "postgresql.sql").write_text(text, encoding="utf-8")
    finally:
        cluster.close()


def main():
    TARGET.mkdir(parents=True)
    for name in ("", ".postgresql"):
        shutil.copy(ROOT / "sql" / f"milestone-coordination{name}.sql",
                    ROOT / "sql" / "history" / f"{SCHEMA_VERSION}{name}.sql")
    with tempfile.TemporaryDirectory() as home:
        for freeze in (freeze_sqlite, freeze_files, freeze_postgresql):
            freeze(Path(home) / freeze.__name__)


if __name__ == "__main__":
    main()
