"""Backup: the whole store as one SQLite file, or as JSON lines that are the same from every backend."""
from __future__ import annotations

import os

from ..errors import MilestoneError, Refused, StorageError, UsageError
from ..registry import operation
from ..storage.directory import sync_directory
from ..storage.interface import StorageMoved
from ..tables import APPLICATION_ID
from .events import record_event
from .exports import new_file, read_export, write_export
from .records import index_records
from .transfer import copy_rows, count_rows, fill_store, prepare_source
from .undoing import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..storage.interface import Row, Storage

GROUP = "Backup"


def _default_path(store: Storage, ending: str) -> str:
    return os.path.join(store.directory, "backups", f"{stamp(store)}{ending}")


@operation(text="backup", existing=True)
def backup_coordination(store: Storage, file: str | None = None) -> Row:
    """Write a consistent backup, records included, as a SQLite file, while others go on writing.

    file: a new file; without it, one below backups/

    Example: backup_coordination
    """
    if not store.describe()["exists"] and not os.path.isdir(store.directory):
        raise Refused(f"no store at {store.directory}: nothing was written")
    path = os.path.abspath(file) if file else _default_path(store, ".db")
    new_file(store, path).close()
    try:
        rows = _fill_backup(store, path)
        sync_directory(os.path.dirname(path))
        return {"file": path, "rows": rows}
    except BaseException:
        os.unlink(path)
        raise


def _fill_backup(store: Storage, path: str) -> dict[str, int]:
    target = store.open_other("database", file=path)
    try:
        with store.transaction():
            prepare_source(store)
            with target.transaction():
                target.execute("DELETE FROM agent_coordination_config")
                rows = copy_rows(store, target)
        wrong = target.check()
    finally:
        target.close()
    if wrong:
        raise StorageError(f"the backup {path} is damaged: {wrong[0]}")
    return rows


@operation(text="restored_backup")
def restore_coordination(store: Storage, file: str) -> Row:
    """Replace everything in the store by a backup, records included; what was there is backed up first.

    file: a file that backup_coordination wrote

    Example: restore_coordination backup.db
    """
    source = _open_backup(store, file)
    try:
        return _replace(store, file, "store_restored", lambda: copy_rows(source, store, replace=True))
    finally:
        source.close()


def _open_backup(store: Storage, file: str) -> Storage:
    path = os.path.abspath(file)
    try:
        with open(path, "rb") as start:
            head = start.read(72)
    except OSError as error:
        raise Refused(f"cannot read the backup {file!r} ({error.strerror})") from None
    if head[:16] != b"SQLite format 3\0" or int.from_bytes(head[68:], "big") != APPLICATION_ID:
        raise UsageError(f"{file!r} is no backup: give a file that backup_coordination wrote")
    return store.open_other("database", file=path)


def _replace(store: Storage, file: str, event: str, fill: Callable[[], dict[str, int]],
             only_if_empty: bool = False) -> Row:
    """Back up what there is and fill the store anew, in one transaction; an error names the backup that is kept."""
    kept = None
    try:
        with store.transaction():
            index_records(store)
            if not only_if_empty:
                kept = backup_coordination(store)["file"]
            elif not _is_empty(store):
                raise Refused("the store is not empty: --replace replaces all of it, after a backup")
            rows = fill()
            record_event(store, event, detail=os.path.abspath(file))
    except MilestoneError as error:
        if kept is None:
            raise
        raise type(error)(f"{error}; everything is as it was, and a backup of it is {kept}") from None
    try:
        index_records(store)  # which finishes what was begun with the record files
    except StorageMoved:  # then whoever moved the rows has finished it; this is not to be done again
        pass
    return {"file": file, "rows": rows, "kept": kept}


def _is_empty(store: Storage) -> bool:
    """Whether the store has nothing but settings and events."""
    there = count_rows(store)
    return not any(n for table, n in there.items() if table not in ("agent_coordination_config", "events"))


@operation(text="exported", existing=True)
def export_coordination(store: Storage, file: str | None = None) -> Row:
    """Write everything as JSON lines, the same from every backend.

    file: a new file; without it, one below backups/

    Example: export_coordination
    """
    with store.transaction():
        prepare_source(store)
        path = write_export(store, os.path.abspath(file) if file else _default_path(store, ".jsonl"))
        return {"file": path, "rows": count_rows(store)}


@operation(text="restored_backup")
def import_coordination(store: Storage, file: str, *, replace: bool = False) -> Row:
    """Read what export_coordination wrote into an empty store, whole or not at all.

    file: a file that export_coordination wrote
    replace: replace everything there is; it is backed up first

    Example: import_coordination export.jsonl --replace
    """
    rows, numbers = read_export(file)
    return _replace(store, file, "store_imported", lambda: fill_store(store, rows.__getitem__, numbers, replace=True),
                    only_if_empty=not replace)
