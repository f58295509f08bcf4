"""Moving all rows to another backend: whole or not at all, with the old store kept as a backup."""
from __future__ import annotations

import os

from ..base.errors import MilestoneError, Refused, StorageError
from ..base.values import check_word
from ..base.vocabulary import BACKENDS
from ..opening.switching import SAME_FILE, finish_switch, mark_copy, mark_retired, read_mark, remove_mark
from ..records.files import FOLDERS, find_places, list_stamps
from ..records.index import keeps_files, place_record
from ..records.undo import stamp
from ..storage.directory import move_files
from ..storage.events import Log
from ..storage.selection import FIXED, database_url, engine_in_use, fix_backend, name_place, read_word
from .export_file import write_export
from .transfer import copy_rows, count_rows, digest_rows, prepare_source, read_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Migration
    from ..storage.interface import Storage

WITHOUT_FILES = ("database", "postgresql")  # where records are rows


class Unfinished(StorageError):
    """The rows are in the new store, but that could be neither noted nor taken back: the next call notes it."""


def target_engine(store: Storage, backend: str) -> str:
    """What will keep the rows on that backend: `database` is PostgreSQL where a URL is set."""
    check_word(backend, BACKENDS, "backend")
    return "postgresql" if backend == "database" and database_url(store.environ) else backend


def migrate(store: Storage, backend: str, dry_run: bool = False, fixed: str | None = None) -> Migration:
    """Move everything to a backend; on any failure the old one goes on. StorageError tells what failed.

    fixed: the backend that is fixed from then on; "": none is; None: leave that setting alone
    Killed before the old store is marked as retired, nothing has happened; killed after it, the next call that
    meets the mark finishes the switch. Writers wait for the transaction and then follow.
    """
    engine = target_engine(store, backend)
    old, when = store.engine, stamp(store)
    told: Migration = {"from": old, "to": engine, "rows": count_rows(store), "backup": None, "dry_run": dry_run}
    if engine == store.engine:
        raise Refused(f"the {backend} backend is in use already: nothing was moved")
    if dry_run:
        return told
    with store.transaction():
        prepare_source(store)
        files = _scan_records(store, engine)
        told["backup"] = write_export(store, os.path.join(store.directory, "backups", f"{when}-{old}.jsonl"))
        told["rows"] = _fill_new_store(store, engine, when)
        if files != _scan_records(store, engine):
            raise StorageError("record files were written by hand meanwhile: nothing was moved; try again")
        mark_retired(store, engine, when)
    _switch(store, engine)
    _settle(store, engine, when, fixed)
    _log(store, told)
    return told


def _scan_records(store: Storage, engine: str) -> dict[str, str]:
    """The record files there are, where what is written by hand would be out of sight after the move."""
    return list_stamps(store) if keeps_files(store) and engine in WITHOUT_FILES else {}


# The copy

def _fill_new_store(store: Storage, engine: str, when: str) -> dict[str, int]:
    if store.engine in WITHOUT_FILES and engine not in WITHOUT_FILES:
        _set_records_aside(store, when + "-unfinished")
    if {engine, store.engine} <= set(SAME_FILE):
        return _move_records(store, store.engine, engine)
    return _copy_to(store, engine, when)


def _set_records_aside(store: Storage, name: str) -> None:
    """What lies in the folders of records where none are kept is older than the rows, or was put there by hand."""
    for folder in FOLDERS:
        path = os.path.join(store.directory, folder)
        try:
            if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
                place = os.path.join(store.directory, "backups", name)
                move_files(store.directory, (folder,), place)
                store.warn(f"what lay in {folder}/ was not in use: it is kept in {place}")
        except OSError as error:
            raise StorageError(f"cannot move {path} out of the way ({error.strerror}): move away what is in it first; "
                               "nothing was moved") from None


def _copy_to(store: Storage, engine: str, when: str) -> dict[str, int]:
    """Fill the new store and compare it with the old one; what an attempt before this left there is set aside."""
    target = store.open_other(engine, aside=os.path.join(store.directory, "backups", when + "-unfinished"))
    target.warn = store.warn
    try:
        with target.transaction():
            replace = _is_left_over(store, target)
            target.execute("DELETE FROM agent_coordination_config")
            copied = copy_rows(store, target, replace)
            mark_copy(target, store.engine, when)
        _require_equal(digest_rows(store), digest_rows(target), engine)
    finally:
        target.close()
    return copied


def _is_left_over(store: Storage, target: Storage) -> bool:
    """Whether a store holds what this directory has left there; Refused if it holds the rows of others."""
    mark = read_mark(target)
    if mark and mark.place != name_place(mark.engine, store.directory):
        raise Refused(f"the {target.engine} store holds what belongs to {mark.directory}: nothing was moved; "
                      "name another schema in MILESTONE_DATABASE_SCHEMA, or another database")
    if not mark and any(number for table, number in count_rows(target).items()
                        if table != "agent_coordination_config"):
        raise Refused(f"the {target.engine} store is not empty: empty it first, or take another database")
    return bool(mark)  # it was retired, or its copy was not finished


def _move_records(store: Storage, old: str, new: str) -> dict[str, int]:
    """Between hybrid and database: the records go into their rows, or out of them into files."""
    engine, store.engine = store.engine, old
    try:
        before = digest_rows(store)
        rows = [row for row in read_rows(store, "milestones") if row["data"]]
        store.engine = new  # records are kept as the new backend keeps them
        places = find_places(store) if keeps_files(store) else {}
        for row in rows:
            if keeps_files(store):
                place_record(store, row, places.get(row["id"], {}))
            else:
                store.execute("UPDATE milestones SET data = :data, file_path = NULL, file_stamp = NULL "
                              "WHERE id = :id", row)
        _require_equal(before, digest_rows(store), new)
        return count_rows(store)
    finally:
        store.engine = engine


def _require_equal(old: dict[str, tuple[int, str]], new: dict[str, tuple[int, str]], engine: str) -> None:
    if old != new:
        raise StorageError(f"the copy on the {engine} backend differs from the original: nothing was moved")


# The switch

def _switch(store: Storage, engine: str) -> None:
    """Note that the new store is in use; where that fails, the old one counts again. Unfinished if that fails too."""
    word = read_word(store.directory, FIXED)
    try:
        finish_switch(store)
    except MilestoneError as error:
        try:
            switched = _take_back(store, engine, word)
        except MilestoneError:
            raise Unfinished(f"everything was moved to the {engine} backend, but that could not be noted ({error}): "
                             "the next call does it") from None
        if not switched:
            raise


def _take_back(store: Storage, engine: str, fixed: str) -> bool:
    """Let the old store count again, with what was fixed; whether another process finished the switch instead."""
    with store.transaction():
        if engine_in_use(store.directory) == engine:
            return True
        if {engine, store.engine} <= set(SAME_FILE):
            _move_records(store, engine, store.engine)
        remove_mark(store)
    if read_word(store.directory, FIXED) != fixed:
        fix_backend(store.directory, fixed)
    return False


def _settle(store: Storage, engine: str, when: str, fixed: str | None) -> None:
    """What is to be done after the switch; the rows are safe whatever of it fails."""
    def fix() -> None:
        if fixed is not None:
            fix_backend(store.directory, fixed)

    def set_aside() -> None:
        _set_old_store_aside(store, engine, when)

    def open_up() -> None:
        _open_up(store, engine)

    for step in fix, open_up, set_aside:
        try:
            step()
        except (MilestoneError, OSError) as error:
            store.warn(f"everything was moved to the {engine} backend, but: {error}")
    store.close()


def _open_up(store: Storage, engine: str) -> None:
    """Let the new store count for other machines too."""
    if {engine, store.engine} <= set(SAME_FILE):
        return
    target = store.open_other(engine)
    try:
        with target.transaction():
            remove_mark(target)
    finally:
        target.close()


def _set_old_store_aside(store: Storage, engine: str, when: str) -> None:
    """Move the files that hold nothing current any more below backups/."""
    place = os.path.join(store.directory, "backups", when)
    if not {engine, store.engine} <= set(SAME_FILE):
        store.set_aside(place)
    if engine in WITHOUT_FILES:
        move_files(store.directory, FOLDERS, place)


def _log(store: Storage, told: Migration) -> None:
    try:
        with Log(store, "storage-events.jsonl") as log:
            log.append({"timestamp": store.now(), "event": "backend_migrated", "milestone_id": "",
                        "backend": told["to"], "details": {"from": told["from"], "rows": sum(told["rows"].values()),
                                                           "backup": told["backup"]}})
    except MilestoneError as error:
        store.warn(f"everything was moved to the {told['to']} backend, but not noted in the log: {error}")
