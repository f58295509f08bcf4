"""Moving all rows to another backend: whole or not at all, with the old store kept as a backup."""
from __future__ import annotations

import os

from ..errors import MilestoneError, Refused, StorageError, UsageError
from ..storage.directory import move_files
from ..storage.selection import FIXED, IN_USE, database_url, fixed_backend, write_word
from ..vocabulary import BACKENDS, check_word
from .events import append_line
from .exports import write_export
from .record_files import FOLDERS
from .records import keeps_files, place_record
from .settings import optimal_backend
from .transfer import RETIRED, copy_rows, count_rows, digest_rows, prepare_source, read_rows
from .undoing import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

SAME_FILE = ("hybrid", "database")  # both are coordination.db: only the records change their place


def target_engine(store: Storage, backend: str) -> str:
    """What will keep the rows on that backend: `database` is PostgreSQL where a URL is set."""
    check_word(backend, BACKENDS, "backend")
    return "postgresql" if backend == "database" and database_url(store.environ) else backend


def migrate(store: Storage, backend: str, dry_run: bool = False) -> Row:
    """Move everything to a backend; on any failure the old one goes on. StorageError tells what failed.

    Killed before the old store is marked as retired, nothing has happened; killed after it, the next call that
    meets the mark finishes the switch. Writers wait for the transaction and then follow.
    """
    engine = target_engine(store, backend)
    old, when = store.engine, stamp(store)
    told: Row = {"from": old, "to": engine, "rows": count_rows(store), "backup": None, "dry_run": dry_run}
    if engine == store.engine:
        raise Refused(f"the {backend} backend is in use already: nothing was moved")
    if dry_run:
        return told
    with store.transaction():
        prepare_source(store)
        told["backup"] = write_export(store, os.path.join(store.directory, "backups", f"{when}-{old}.jsonl"))
        told["rows"] = _move_records(store, engine) if {engine, old} <= set(SAME_FILE) else \
            _copy_to(store, engine, when)
        _retire(store, engine)
    write_word(store.directory, IN_USE, engine)
    _set_old_store_aside(store, old, engine, when)
    _log(store, told)
    return told


def _copy_to(store: Storage, engine: str, when: str) -> dict[str, int]:
    """Fill the new store and compare it with the old one; what an attempt before this left there is set aside."""
    target = store.open_other(engine, aside=os.path.join(store.directory, "backups", when + "-unfinished"))
    target.warn = store.warn
    try:
        with target.transaction():
            copied = _fill(store, target)
        if digest_rows(store) != digest_rows(target):
            raise StorageError(f"the copy on the {engine} backend differs from the original: nothing was moved")
    finally:
        target.close()
    return copied


def _retire(store: Storage, engine: str) -> None:
    """Leave the mark that makes late writers follow."""
    store.execute("INSERT INTO agent_coordination_config (key, value, description, updated_at) "
                  "VALUES (:key, :place, 'where the rows have gone', :now) "
                  "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
                  {"key": RETIRED, "place": f"{engine} {os.path.realpath(store.directory)}", "now": store.now()})


def _fill(store: Storage, target: Storage) -> dict[str, int]:
    """Copy the rows, unless an earlier attempt did so; a store that holds other rows is left alone."""
    there = count_rows(target)
    if any(number for table, number in there.items() if table != "agent_coordination_config"):
        if digest_rows(store) == digest_rows(target):
            return there
        raise Refused(f"the {target.engine} store is not empty: empty it first, or take another database")
    target.execute("DELETE FROM agent_coordination_config")
    return copy_rows(store, target)


def _move_records(store: Storage, engine: str) -> dict[str, int]:
    """Between hybrid and database: the records go into their rows, or out of them into files."""
    rows = [row for row in read_rows(store, "milestones") if row["data"]]
    store.engine = engine  # from here on, records are kept as the new backend keeps them
    for row in rows:
        if keeps_files(store):
            place_record(store, row)
        else:
            store.execute("UPDATE milestones SET data = :data, file_path = NULL, file_stamp = NULL WHERE id = :id", row)
    return count_rows(store)


def _set_old_store_aside(store: Storage, old: str, engine: str, when: str) -> None:
    """Move the files that hold nothing current any more below backups/."""
    store.close()
    place = os.path.join(store.directory, "backups", when)
    if engine in ("database", "postgresql"):
        move_files(store.directory, FOLDERS, place)
    if not {engine, old} <= set(SAME_FILE):
        move_files(store.directory, store.FILES, place)


def _log(store: Storage, told: Row) -> None:
    append_line(store, "storage-events.jsonl", {
        "timestamp": store.now(), "event": "backend_migrated", "milestone_id": "", "backend": told["to"],
        "details": {"from": told["from"], "rows": sum(told["rows"].values()), "backup": told["backup"]}})


def choose_backend(store: Storage, backend: str, dry_run: bool = False) -> Row:
    """Migrate because somebody said so: the backend is fixed from then on; `auto` lets it follow the milestones."""
    automatic = backend == "auto"
    backend = check_word(optimal_backend(store) if automatic else backend, BACKENDS, "backend")
    _refuse_contradiction(store, backend)
    told: Row = {"from": store.engine, "to": store.engine, "rows": count_rows(store), "backup": None,
                 "dry_run": dry_run}
    if target_engine(store, backend) != store.engine:
        told = migrate(store, backend, dry_run)
    if not dry_run:
        path = os.path.join(store.directory, FIXED)
        if not automatic:
            write_word(store.directory, FIXED, backend)
        elif os.path.exists(path):
            os.unlink(path)
    return told


def _refuse_contradiction(store: Storage, backend: str) -> None:
    named = store.environ.get("MILESTONE_BACKEND")
    if named and named != backend:
        raise UsageError(f"MILESTONE_BACKEND is {named}: unset it, or make it {backend}")


def grow(store: Storage) -> bool:
    """After a milestone was added: move up to the backend that suits their number, unless one is fixed."""
    if fixed_backend(store.directory, store.environ) or store.engine == "postgresql":
        return False
    best = optimal_backend(store)
    if BACKENDS.index(best) <= BACKENDS.index(store.backend):
        return False
    try:
        told = migrate(store, best)
    except MilestoneError as error:
        store.warn(f"could not move to the {best} backend, {store.backend} goes on: {error}")
        return False
    store.warn(f"moved to the {best} backend; a backup is in {told['backup']}")
    return True
