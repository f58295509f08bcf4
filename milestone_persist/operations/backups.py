"""Backup: the whole store as one SQLite file, or as JSON lines that are the same from every backend."""
from __future__ import annotations

import os

from ..base.errors import MilestoneError, Refused, StorageError
from ..base.values import text_of_path
from ..coordination.settings import COMMANDS, drop_corrupt_settings, read_setting, store_setting
from ..moving.backup_files import note_row_counts, require_whole
from ..moving.export_file import (
    export_lines,
    new_file,
    read_export,
    require_file,
    require_numbers,
    write_export,
)
from ..moving.transfer import copy_own_rows, copy_rows, count_rows, fill_store, prepare_source
from ..records.files import remove_parts
from ..records.index import index_records
from ..records.undo import stamp
from ..registry import operation
from ..storage.backends import DATABASE
from ..storage.events import record_event
from ..storage.interface import StorageMoved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base.answers import Backup, Export, Replacement
    from ..storage.interface import Damaged, Row, Storage

GROUP = "Backup"


def _default_path(store: Storage, ending: str) -> str:
    return os.path.join(store.directory, "backups", f"{stamp(store)}{ending}")


@operation(text="backup", existing=True)
def backup_coordination(store: Storage, file: str | None = None) -> Backup:
    """Write a consistent backup, records included, as a SQLite file, while others keep writing.

    file: a new file; without it, one below backups/

    Example: backup_coordination
    """
    if not store.describe()["exists"] and not os.path.isdir(store.directory):
        raise Refused(f"no store at {store.directory}: nothing was written")
    path = os.path.abspath(file) if file else _default_path(store, ".db")
    with new_file(store, path) as new:
        rows = _fill_backup(store, new.part)
        new.finish()
    return {"file": path, "rows": rows}


def _fill_backup(store: Storage, path: str) -> dict[str, int]:
    target = store.open_other(DATABASE, file=path)
    try:
        with store.transaction():
            prepare_source(store)
            if store.backend.records_are_files:
                remove_parts(store)
            with target.transaction():
                target.execute("DELETE FROM agent_coordination_config")
                rows = copy_own_rows(store, target)
                note_row_counts(target, rows)
        wrong = target.check()
        target.execute("PRAGMA journal_mode = DELETE")  # all in one file
    finally:
        target.close()
    if wrong:
        raise StorageError(f"what was written is damaged, there is no backup: {wrong[0]}; name a file on another disk")
    return rows


def _rebuild(damage: Damaged, file: str) -> Row:
    from ..moving.rebuilding import rebuild_store

    return rebuild_store(damage, file)


@operation(text="restored_backup", repair=_rebuild)
def restore_coordination(store: Storage, file: str) -> Replacement:
    """Replace everything in the store with a backup, records included; the present contents are backed up first.

    The files of a damaged or missing store are moved below backups/, and the backup replaces them.

    file: a file that backup_coordination wrote

    Example: restore_coordination backup.db
    """
    from ..moving.rebuilding import refuse_damaged
    from ..storage.sqlite.safe_copy import copy_backup, require_backup

    path = require_file(store, store.FILES, file, "backup")
    if store.is_unmade:
        require_backup(path)
    refuse_damaged(store)
    with new_file(store, _default_path(store, ".db")) as copy:  # the given file is only read
        copy_backup(path, copy.part)
        source = store.open_other(DATABASE, file=copy.part, create=False)
        try:
            require_whole(source, file)
            return _replace(store, file, "store_restored", lambda: copy_rows(source, store, replace=True))
        finally:
            source.close()


def _replace(store: Storage, file: str, event: str, fill: Callable[[], dict[str, int]],
             only_if_empty: bool = False) -> Replacement:
    """Back up the present rows and refill the store, in one transaction; an error names the backup."""
    kept = None
    try:
        with store.transaction():
            index_records(store)
            if not (only_if_empty or store.is_unmade):
                kept = backup_coordination(store)["file"]
            elif not _is_empty(store):
                raise Refused("the store is not empty: --replace replaces all of it, after a backup")
            own = {key: read_setting(store, key) for key in COMMANDS}
            rows = fill()
            _keep_own_commands(store, own)
            for line in drop_corrupt_settings(store):
                store.warn(f"left out: {line}")
            record_event(store, event, detail=text_of_path(os.path.abspath(file)))
    except MilestoneError as error:
        if kept is None:
            raise
        raise type(error)(f"{error}; everything is as it was, and a backup of it is {kept}") from None
    try:
        index_records(store)  # which finishes what was begun with the record files
    except StorageMoved:  # then the process that moved the rows has finished it; do not repeat this
        pass
    except StorageError as error:
        store.warn(f"everything was replaced, but: {error}; the next call finishes it")
    return {"file": file, "rows": rows, "kept": kept}


def _keep_own_commands(store: Storage, own: dict[str, str]) -> None:
    """Keep this store's values of settings that are run as commands: the file may be foreign."""
    for key, value in own.items():
        brought = read_setting(store, key)
        if brought != value:
            store_setting(store, key, value)
            if brought:
                store.warn(f"{key} was left out, because it would be run here: the file has {brought!r}; "
                           f"set_storage_config {key} COMMAND sets one")


def _is_empty(store: Storage) -> bool:
    """Whether the store has nothing but settings and events."""
    there = count_rows(store)
    return not any(n for table, n in there.items() if table not in ("agent_coordination_config", "events"))


@operation(text="exported", stdout="file", existing=True)
def export_coordination(store: Storage, file: str | None = None) -> Export:
    """Write everything as JSON lines, the same from every backend.

    file: a new file; without it, one below backups/; - is standard output

    Example: export_coordination
    """
    with store.transaction():
        prepare_source(store)
        require_numbers(store)
        if file == "-":
            text = "".join(line + "\n" for line in export_lines(store))
            return {"file": file, "rows": count_rows(store), "text": text}
        path = write_export(store, os.path.abspath(file) if file else _default_path(store, ".jsonl"))
        return {"file": path, "rows": count_rows(store)}


@operation(text="restored_backup")
def import_coordination(store: Storage, file: str, *, replace: bool = False) -> Replacement:
    """Load a file written by export_coordination into an empty store, completely or not at all.

    file: a file that export_coordination wrote
    replace: replace everything in the store; it is backed up first

    Example: import_coordination export.jsonl --replace
    """
    rows, numbers = read_export(store, file)
    return _replace(store, file, "store_imported", lambda: fill_store(store, rows.__getitem__, numbers, replace=True),
                    only_if_empty=not replace)
