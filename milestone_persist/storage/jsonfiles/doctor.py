"""What doctor finds in the files of a store, and repairs without loss."""
from __future__ import annotations

import os
import sqlite3
from codecs import BOM_UTF8

from ...base.errors import Busy, StorageError
from ...base.tables import NUMBERED
from ..files import cannot_write, move_whole, write_whole
from ..findings import FIXED, finding
from ..orphans import GONE, make_parents
from ..remedies import advise_restoring
from ..sqlite.embedded import EmbeddedStorage
from .layout import folder_of, write_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...base.answers import Finding
    from ..interface import Row
    from .layout import Table
    from .memory import Faults, Memory
    from .store import FileStorage


def inspect(store: FileStorage) -> list[Finding]:
    """What is wrong with the files and their rows, each with what to do."""
    wrong: list[str] = []
    corrupt: list[Finding] = []
    if store.in_memory:
        return corrupt
    store.forget()
    faults: Faults = []
    try:
        with store.snapshot():
            store.memory.load_all(faults)
            corrupt = [finding(store.files.path(file), str(fault), fixable=True)
                       for file, fault in [*store.memory.corrupt.items(), *faults]]
            wrong += EmbeddedStorage.check(store) + _check_numbers(store) + _find_lost(store)
            corrupt += _find_removed(store)
        if wrong or faults:
            store.forget()
    except Busy:  # nothing is known, so nothing is wrong
        raise
    except StorageError as error:
        wrong.append(str(error))
    return corrupt + [finding(store.path, line, fixable=line.endswith(GONE)) for line in wrong]


def fix(store: FileStorage, folder: str) -> list[Finding]:
    """Move unreadable files to `folder`; the store is lenient."""
    try:
        with store.transaction():
            done = _drop_unreadable_lines(store, folder)
            store.memory.load_all()
            for file in [*store.memory.corrupt]:
                move_whole(store.files.path(file), os.path.join(folder, file))
                del store.memory.corrupt[file]
                done.append(finding(store.files.path(file), f"set aside: it is {os.path.join(folder, file)}",
                                    severity=FIXED))
            return done + _forget_removed(store) + make_parents(store)
    except OSError as error:
        raise cannot_write(store.directory, error) from None


def _drop_unreadable_lines(store: FileStorage, folder: str) -> list[Finding]:
    done, written = [], {}
    for table, file in _list_files_of_many(store):
        data = store.files.read(file)
        rows = _list_readable(store.memory, table, file, data)
        if rows is not None:
            kept = os.path.join(folder, file)
            write_whole(kept, data)
            written[file] = write_lines(rows) or None
            done.append(finding(store.files.path(file), f"the {len(rows)} rows that can be read stay; the file as "
                                f"it was is {kept}", severity=FIXED))
    if written:
        store.save(written)
    return done


def _list_files_of_many(store: FileStorage) -> list[tuple[Table, str]]:
    return [(table, file) for table in store.memory.tables if not table.holds_one_row
            for archived in {False, bool(table.archived_by)} for file in table.names(store.files, archived)]


def _list_readable(memory: Memory, table: Table, file: str, data: bytes) -> list[Row] | None:
    """The valid rows of a file of many, the first of each key; None if all are valid. None of them is loaded yet."""
    fitting, lines = [], [line for line in data.removeprefix(BOM_UTF8).split(b"\n") if line.strip()]
    memory.connection.execute("SAVEPOINT trying")
    for line in lines:
        try:
            row = table.read_line(line, file)
            memory.insert(table, [row])
        except (sqlite3.Error, ValueError, OverflowError, RecursionError):
            continue
        fitting.append(row)
    memory.connection.execute("ROLLBACK TO trying")
    memory.connection.execute("RELEASE trying")
    return None if lines and len(fitting) == len(lines) else fitting


def _find_lost(store: FileStorage) -> list[str]:
    given_out, counts = store.head.sequences, store.head.counts
    folders = {name: store.files.path(folder_of(name)) for name, number in given_out.items()
               if number and (counts is None or counts.get(folder_of(name)))}
    return [f"{path} is missing with the {given_out[name]} rows that were in it: restore it, or "
            f"{advise_restoring(store.directory)}" for name, path in folders.items() if not os.path.isdir(path)]


def _find_removed(store: FileStorage) -> list[Finding]:
    from ...base.invocation import way_called

    gone = {folder: number - store.files.count(folder)
            for folder, number in (store.head.counts or {}).items()
            if os.path.isdir(store.files.path(folder)) or folder not in map(folder_of, NUMBERED)}  # else told of
    return [finding(store.files.path(folder), f"files of rows that were written are gone ({number})",
                    f"{advise_restoring(store.directory)}; if they were removed on purpose, {way_called()} doctor "
                    "--fix counts again") for folder, number in gone.items() if number > 0]


def _forget_removed(store: FileStorage) -> list[Finding]:
    gone = _find_removed(store)
    if gone:
        store.head.counts = {}
        store.save({})
    return [{**found, "do": "counted again", "severity": FIXED} for found in gone]


def _check_numbers(store: FileStorage) -> list[str]:
    given_out = store.head.sequences
    return [f"{store.path}: {name} has number {there}, but only {given_out.get(name, 0)} were given out: raise that"
            for name, there in store.memory.sequence_values().items() if there > given_out.get(name, 0)]
