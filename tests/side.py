"""A store on one of several backends, on which the same is done as on the others."""
from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

from memory import invent_name

from milestone_persist import MilestoneError, open_store
from milestone_persist.base.tables import TABLES
from milestone_persist.opening.place import begin_call, make_store
from milestone_persist.storage.events import record_event

RECORD = ("data", "file_path", "file_stamp")  # of a milestone: where its record is
# What is of the files of records, which some backends have, names that are drawn, and numbers that PostgreSQL does not
# give again where a call was undone.
OWN = re.compile(r'"file_stamp": ?"[^"]*"|\\?"(?:file_)?path\\?": ?(?:null|\\?"(?:active|completed)/[^"\\]*\\?")'
                 r'|"id": [0-9]+, (?="timestamp|"agent_id)|, "id": [0-9]+(?=, "event"|, "error_count")'
                 r'|backups/[0-9]{8}-[0-9]{6}-[0-9a-f]{8}')


class Side:
    """A backend: stores that stay open, as of several processes, and one that is opened for a single call.

    moves: whether it goes to another backend now and then
    """

    def __init__(self, root, backend, clock, moves=False, **environ):
        self.root, self.backend, self.moves, self.clock = Path(root), backend, moves, clock
        self.root.mkdir()
        given = {"PATH": os.environ["PATH"], "HOME": str(root), "AGENT_ID": "a", **environ}
        fixed = {} if environ else {"MILESTONE_BACKEND": backend}
        self.surroundings = {"directory": self.root / "data", "clock": clock,
                             "environ": given if moves else {**given, **fixed}}
        self.stores = []
        make_store(begin_call(str(self.root / "data"), {**given, **fixed}, clock))
        self.reopen()
        storage = self.stores[0].storage()
        storage.execute("UPDATE agent_coordination_config SET updated_at = :now", {"now": storage.now()})

        named = self.surroundings["environ"]
        self.nobody = {**self.surroundings, "environ": {each: named[each] for each in named if each != "AGENT_ID"}}

    def reopen(self):
        self.close()
        self.stores = [open_store(**self.surroundings) for _ in range(2)]

    def close(self):
        for store in self.stores:
            store.close()

    def call(self, number, name, args, options):
        """The kind of answer, the answer or what was refused, and the warnings."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                got = self._give(number, name, args, options)
            except MilestoneError as error:
                got = {"refused": type(error).__name__, "text": str(error), "data": getattr(error, "data", None)}
        self.got = got
        return self.clean(json.dumps([got, [str(each.message) for each in told]]))

    def _give(self, number, name, args, options):
        if number < len(self.stores):
            return getattr(self.stores[number], name)(*args, **options)
        with open_store(**self.surroundings) as store:
            return getattr(store, name)(*args, **options)

    def rows(self):
        with open_store(**self.nobody) as store:
            storage = store.storage()
            return {table: sorted(map(self.clean_row, storage.execute(f"SELECT * FROM {table}"))) for table in TABLES}

    def clean_row(self, row):
        return self.clean(json.dumps({name: row[name] for name in sorted(row, reverse=True) if name not in RECORD}))

    def clean(self, text):
        """A text without what each backend has of its own."""
        return OWN.sub("", text.replace(str(self.root), ""))

    def replace_all(self, how, number):
        """Put an export or a backup of everything in its own place; the rows of the export."""
        path = self.root / f"{how}-{number}"
        export, replace = {"export": ("export_coordination", "import_coordination"),
                           "backup": ("backup_coordination", "restore_coordination")}[how]
        with open_store(**self.nobody) as store:
            getattr(store, export)(str(path))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                getattr(store, replace)(str(path), **({"replace": True} if how == "export" else {}))
            level_events(store.storage())
        return [self.clean_row(json.loads(line).get("row", {})) for line in path.read_bytes().splitlines()
                if how == "export"]

    def export(self, name, number):
        with open_store(**self.nobody) as store:
            store.export_coordination(str(self.root / f"{name}-{number}"))

    def migrate(self, backend):
        with open_store(**self.nobody) as store:
            if store.get_current_storage_backend() == backend:
                self.export("move", self.clock.seconds)
            store.migrate_storage_backend(backend)

    def list_unsound(self):
        with open_store(**self.nobody) as store:
            return [found for found in store.doctor() if found["severity"] == "unsound"]


def level_events(storage):
    """Where records are files, a replacement tells of their copy too: then there are two events everywhere."""
    told = "FROM events WHERE event LIKE 'store_%'"
    with storage.transaction():
        if storage.execute(f"SELECT count(*) AS n {told}")[0]["n"] == 1:
            record_event(storage, "store_records_kept")
        storage.execute(f"UPDATE events SET event = 'replaced', detail = '' WHERE id IN (SELECT id {told})")


def make_sides(folder, clock, server=None, backends=("file", "hybrid", "database")):
    """Every backend, and one store that moves from one to the other."""
    folder = Path(folder)
    sides = [Side(folder / name, name, clock) for name in backends]
    sides.append(Side(folder / "moving", "file", clock, moves=True))
    if server:
        sides.append(Side(folder / "postgresql", "postgresql", clock, MILESTONE_DATABASE_URL=server.url,
                          MILESTONE_DATABASE_SCHEMA=invent_name("alike")))
    return sides
