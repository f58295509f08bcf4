"""Backup: the whole store as one SQLite file, or as JSON lines that are the same from every backend."""
from __future__ import annotations

import os

from ..errors import Refused, StorageError, UsageError
from ..registry import operation
from ..storage.directory import cannot_write
from ..tables import APPLICATION_ID, TABLES, read_columns
from ..values import check_text, dump_json, parse_json
from .events import record_event
from .transfer import RETIRED, clear_rows, copy_rows, count_rows, insert_rows, prepare_source, read_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from ..storage.interface import Row, Storage

GROUP = "Backup"
HEAD = {"format": "milestone_persist", "version": 1}
NUMBERED = ("agent_messages", "agent_health_log", "events")
LARGEST_NUMBER = 2 ** 62  # of a row that is imported: there must be room for those to come


def stamp(store: Storage) -> str:
    """The present as part of a file name, made its own by a random end."""
    return f"{store.now()[:19].replace('-', '').replace(':', '').replace(' ', '-')}-{os.urandom(2).hex()}"


def _default_path(store: Storage, ending: str) -> str:
    return os.path.join(store.directory, "backups", f"{stamp(store)}{ending}")


def _new_file(path: str) -> BinaryIO:
    """A new private file; UsageError if there is one of that name."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise UsageError(f"{path} is there already: name a new file") from None
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}): name a file you can write") from None


@operation(text="backup")
def backup_coordination(store: Storage, file: str | None = None) -> Row:
    """Write a consistent backup, records included, as a SQLite file, while others go on writing.

    file: a new file; without it, one below backups/

    Example: backup_coordination
    """
    path = os.path.abspath(file) if file else _default_path(store, ".db")
    _new_file(path).close()
    try:
        return {"file": path, "rows": _fill_backup(store, path)}
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
    """Replace everything in the store by a backup; what was there is backed up first.

    file: a file that backup_coordination wrote

    Example: restore_coordination backup.db
    """
    source = _open_backup(store, file)
    try:
        kept = backup_coordination(store)["file"]
        with store.transaction():
            clear_rows(store)
            rows = copy_rows(source, store)
            record_event(store, "store_restored", detail=os.path.abspath(file))
    finally:
        source.close()
    return {"file": file, "rows": rows, "kept": kept}


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


@operation(text="exported", creates=False)
def export_coordination(store: Storage, file: str | None = None) -> Row:
    """Write everything as JSON lines, the same from every backend.

    file: a new file; without it, one below backups/

    Example: export_coordination
    """
    with store.transaction():
        prepare_source(store)
        path = write_export(store, os.path.abspath(file) if file else _default_path(store, ".jsonl"))
        return {"file": path, "rows": count_rows(store)}


def write_export(store: Storage, path: str) -> str:
    """Write every row as a JSON line, within the caller's transaction; returns the path."""
    out = _new_file(path)
    try:
        with out:
            for line in export_lines(store):
                out.write(line.encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
    except BaseException as error:
        os.unlink(path)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from None
        raise
    return path


def export_lines(store: Storage) -> Iterator[str]:
    """Every row as a JSON line, after a line that names the format."""
    yield dump_json(HEAD)
    for table in TABLES:
        for row in read_rows(store, table):
            yield dump_json({"table": table, "row": row}, sort_keys=True)


@operation(text="restored_backup")
def import_coordination(store: Storage, file: str, *, replace: bool = False) -> Row:
    """Read what export_coordination wrote into an empty store.

    file: a file that export_coordination wrote
    replace: replace everything there is; it is backed up first

    Example: import_coordination export.jsonl --replace
    """
    rows = _read_export(file)
    kept = None
    there = count_rows(store)
    if any(n for table, n in there.items() if table not in ("agent_coordination_config", "events")):
        if not replace:
            raise Refused("the store is not empty: --replace replaces all of it, after a backup")
        kept = backup_coordination(store)["file"]
    with store.transaction():
        clear_rows(store)
        counts = {table: insert_rows(store, table, rows[table]) for table in TABLES}
        store.settle_counters()
        record_event(store, "store_imported", detail=os.path.abspath(file))
    return {"file": file, "rows": counts, "kept": kept}


def _read_export(file: str) -> dict[str, list[Row]]:
    """The rows of an export by table; UsageError names the line that is none."""
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    columns, number = read_columns(), 0
    try:
        with open(file, encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                item = parse_json(line)
                if number == 1 and item != HEAD or number > 1 and not _is_row(item, columns):
                    raise ValueError("not what export_coordination writes")
                if number > 1:
                    rows[item["table"]].append(item["row"])
    except OSError as error:
        raise Refused(f"cannot read {file!r} ({error.strerror})") from None
    except (ValueError, TypeError, UsageError) as error:
        raise UsageError(f"{file!r} is no export of export_coordination: line {number}: {error}") from None
    if not number:
        raise UsageError(f"{file!r} is no export of export_coordination: it is empty")
    return rows


def _is_row(item: Any, columns: dict[str, set[str]]) -> bool:
    """Whether a parsed line is a row of a table, with columns that it has and values that every backend can hold."""
    if not isinstance(item, dict) or str(item.get("table")) not in columns or not isinstance(item.get("row"), dict):
        return False
    table, row = item["table"], item["row"]
    return bool(set(TABLES[table]) < set(row) <= columns[table] and row.get("key") != RETIRED
                and all(map(_fits, row.values())) and (table not in NUMBERED or 0 < row["id"] < LARGEST_NUMBER))


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        check_text(value, "it")
    return value is None or isinstance(value, (str, float)) or type(value) is int and abs(value) < 2 ** 63
