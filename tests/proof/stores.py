"""Stores to break: filled ones, everything that is in one, and whether it is sound and can be used."""
from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from milestone_persist import MilestoneError, open_store  # noqa: E402
from milestone_persist.base.tables import TABLES  # noqa: E402
from milestone_persist.moving.transfer import read_rows  # noqa: E402

MEMORY = "/dev/shm"
NOW = "2026-01-01 00:00:00"
BACKENDS = ("file", "hybrid", "database")
PROGRAM = [sys.executable, "-I", "-S", str(ROOT / "milestone_persist" / "__main__.py")]
RANDOM = re.compile(r"cp-\d+-[0-9a-f]{8}")  # ids of checkpoints
COMPARED = sorted(set(TABLES) - {"events"})  # the log also tells of what was only tried


def make_folder(prefix):
    """A temporary folder, in memory where there is such a place: syncs cost nothing there."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY if os.access(MEMORY, os.W_OK) else None)


def make_environ(backend=None):
    """The variables of a call on a store with this backend (None: the one in use), at a time that stands still.

    Where this process has been given a server of PostgreSQL, it is on that one.
    """
    fixed = {"MILESTONE_BACKEND": backend} if backend else {}
    server = {name: value for name, value in os.environ.items() if name.startswith("MILESTONE_DATABASE_")}
    return {"PATH": os.environ["PATH"], "HOME": "/", "MILESTONE_NOW": NOW, **fixed, **server}


def open_quietly(directory, backend=None):
    """Open a store; what it warns of is not shown."""
    warnings.simplefilter("ignore")
    return open_store(directory, environ=make_environ(backend))


def fill(directory, backend):
    """Make a store in which every operation that is to be broken has something to do."""
    with open_quietly(directory, backend) as store:
        for agent in ("a", "b", "c"):
            store.register_agent(agent, "validation", "ms-1", "execution-1")
        for number in range(6):
            store.save_agent_state("a", f"k-{number}", f"value {number} " + "x" * 300)
            store.send_agent_message("a", "b", "progress_update", {"n": number})
        store.create_milestone_record("ms-1", "title: one")
        store.create_agent_checkpoint("a")
        store.save_agent_state("a", "k-0", "changed since")
        store.get_agent_messages("b", True, 1)


def read_all(directory):
    """Everything that users see of a store but the log: rows by table, milestones with their records.

    Not versions: a record file with another time, as a copy has, is indexed again.
    """
    with open_quietly(directory) as store:
        store.list_milestones("all")  # which follows rows that were moved, and finishes what was begun
        return {table: sorted(RANDOM.sub("cp-", json.dumps({**row, "version": 0}, sort_keys=True, default=repr))
                              for row in read_rows(store.storage(), table)) for table in COMPARED}


def find_faults(directory):
    """What is wrong with a store after something was done to it: what doctor says, and whether the next call works."""
    try:
        with open_quietly(directory) as store:
            found = [f"doctor: {row['what']}" for row in store.doctor() if row["severity"] not in ("sound", "note")]
            store.save_agent_state("z", "next", "call")
            if store.load_agent_state("z", "next") != "call":
                found.append("the next call saved nothing")
            store.delete_agent_state("z", "next")
            return found + find_broken_backups(store, directory)
    except MilestoneError as error:
        return [f"the next call: {error}"]


def find_broken_backups(store, directory):
    """What has the name of a backup or an export is one, and restores."""
    found = []
    for path in sorted(Path(directory, "backups").glob("*.*")):
        if path.suffix in (".db", ".jsonl"):
            try:
                if path.suffix == ".db":
                    store.restore_coordination(str(path))
                else:
                    store.import_coordination(str(path), replace=True)
            except MilestoneError as error:
                found.append(f"{path.name}: {error}")
    return found
