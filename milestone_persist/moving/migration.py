"""Moves all rows to another backend: completely or not at all, with the old store kept as a backup."""
from __future__ import annotations

import os

from ..base.errors import MilestoneError, Refused, StorageError
from ..base.values import check_word
from ..base.vocabulary import BACKENDS
from ..opening.switching import finish_switch, read_tombstone, remove_tombstone, write_copy_tombstone, write_tombstone
from ..records.files import FOLDERS, find_record_files, list_stamps
from ..records.record import write_record_file
from ..records.undo import stamp
from ..storage.directory import move_files
from ..storage.events import Log
from ..storage.interface import StorageMoved
from ..storage.selection import FIXED, backend_in_use, backend_meant, fix_backend, name_store, read_word
from .export_file import write_export
from .transfer import copy_own_rows, count_rows, digest_rows, prepare_source, read_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Migration
    from ..storage.backends import Backend
    from ..storage.interface import Storage


class Unfinished(StorageError):
    """The rows are in the new store, but that could be neither noted nor undone: the next call notes it."""


def target_backend(store: Storage, word: str) -> Backend:
    """The backend that a user's word means here; UsageError if it means none."""
    check_word(word, BACKENDS, "backend")
    return backend_meant(word, store.environ)


def migrate(store: Storage, word: str, dry_run: bool = False, fixed: str | None = None) -> Migration:
    """Move everything to a backend; on any failure the old one stays in use. StorageError says what failed.

    fixed: the backend that is fixed from then on; "": none is; None: leave that setting alone
    Killed before the old store is marked as retired, nothing has happened; killed after it, the next call that
    meets the tombstone finishes the switch. Writers wait for the transaction and then follow.
    """
    backend, old, when = target_backend(store, word), store.backend, stamp(store)
    told: Migration = {"from": old.name, "to": backend.name, "rows": count_rows(store), "backup": None,
                       "dry_run": dry_run}
    if backend is old:
        raise Refused(f"the {word} backend is in use already: nothing was moved")
    if dry_run:
        return told
    with store.transaction():
        prepare_source(store)
        files = _scan_records(store, backend)
        told["backup"] = write_export(store, os.path.join(store.directory, "backups", f"{when}-{old.name}.jsonl"))
        told["rows"] = _fill_new_store(store, backend, when)
        if files != _scan_records(store, backend):
            raise StorageError("record files were written by hand meanwhile: nothing was moved; try again")
        write_tombstone(store, backend, when)
    _switch(store, backend)
    finish_move(store, backend, when, fixed)
    log_move(store, told)
    return told


def _scan_records(store: Storage, backend: Backend) -> dict[str, str]:
    """The existing record files, if files written by hand would be out of sight after the move."""
    return list_stamps(store) if store.backend.records_are_files and not backend.records_are_files else {}


# The copy

def _fill_new_store(store: Storage, backend: Backend, when: str) -> dict[str, int]:
    if backend.records_are_files and not store.backend.records_are_files:
        _set_records_aside(store, when + "-unfinished")
    if backend.has_rows_of(store.backend):
        return move_records(store, store.backend, backend)
    return _copy_to(store, backend, when)


def _set_records_aside(store: Storage, name: str) -> None:
    """Files in the folders of records, if records are rows: older than the rows, or put there by hand."""
    for folder in FOLDERS:
        path = os.path.join(store.directory, folder)
        try:
            if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
                aside = os.path.join(store.directory, "backups", name)
                move_files(store.directory, (folder,), aside)
                store.warn(f"the files in {folder}/ were not in use: they are kept in {aside}")
        except OSError as error:
            raise StorageError(f"cannot move {path} out of the way ({error.strerror}): move away what is in it first; "
                               "nothing was moved") from None


def _copy_to(store: Storage, backend: Backend, when: str) -> dict[str, int]:
    """Fill the new store and compare it with the old one; leftovers of an earlier attempt are set aside."""
    target = store.open_other(backend, aside=os.path.join(store.directory, "backups", when + "-unfinished"))
    target.warn = store.warn
    try:
        with target.transaction():
            replace = _is_left_over(store, target)
            target.execute("DELETE FROM agent_coordination_config")
            copied = copy_own_rows(store, target, replace)
            write_copy_tombstone(target, store.backend, when)
        _require_equal(digest_rows(store), digest_rows(target), backend)
    finally:
        target.close()
    return copied


def _is_left_over(store: Storage, target: Storage) -> bool:
    """Whether a store holds what this directory left there; Refused if it holds foreign rows."""
    tombstone = read_tombstone(target)
    if tombstone and tombstone.store != name_store(tombstone.backend, store.directory):
        raise Refused(f"the {target.backend.name} store holds what belongs to {tombstone.directory}: nothing was "
                      "moved; name another schema in MILESTONE_DATABASE_SCHEMA, or another database")
    if not tombstone and any(number for table, number in count_rows(target).items()
                        if table != "agent_coordination_config"):
        raise Refused(f"the {target.backend.name} store is not empty: empty it first, or take another database")
    return bool(tombstone)  # it was retired, or its copy was not finished


def move_records(store: Storage, old: Backend, new: Backend) -> dict[str, int]:
    """Between two backends of one engine: move the records into their rows, or out of them into files."""
    backend, store.backend = store.backend, old
    try:
        before = digest_rows(store)
        rows = [row for row in read_rows(store, "milestones") if row["data"]]
        store.backend = new  # records are kept as the new backend keeps them
        files = find_record_files(store) if store.backend.records_are_files else {}
        for row in rows:
            if store.backend.records_are_files:
                write_record_file(store, row, files.get(row["id"], {}))
            else:
                store.execute("UPDATE milestones SET data = :data, file_path = NULL, file_stamp = NULL "
                              "WHERE id = :id", row)
        _require_equal(before, digest_rows(store), new)
        return count_rows(store)
    finally:
        store.backend = backend


def _require_equal(old: dict[str, tuple[int, str]], new: dict[str, tuple[int, str]], backend: Backend) -> None:
    if old != new:
        raise StorageError(f"the copy on the {backend.name} backend differs from the original: nothing was moved")


# The switch

def _switch(store: Storage, backend: Backend) -> None:
    """Note that the new store is in use; if that fails, make the old one valid again. Unfinished if that fails too."""
    word = read_word(store.directory, FIXED)
    try:
        finish_switch(store)
    except (MilestoneError, StorageMoved) as error:
        try:
            switched = take_back(store, backend, word)
        except MilestoneError:
            raise Unfinished(f"everything was moved to the {backend.name} backend, but that could not be noted "
                             f"({error}): the next call does it") from None
        if not switched:
            raise


def take_back(store: Storage, backend: Backend, fixed: str) -> bool:
    """Make the old store valid again, with its fixed backend; whether another process finished the switch instead."""
    with store.transaction():
        if backend_in_use(store.directory) is backend:
            return True
        if backend.has_rows_of(store.backend):
            move_records(store, backend, store.backend)
        remove_tombstone(store)
    if read_word(store.directory, FIXED) != fixed:
        fix_backend(store.directory, fixed)
    return False


def finish_move(store: Storage, backend: Backend, when: str, fixed: str | None) -> None:
    """The steps after the switch; the rows are safe even if these fail."""
    def fix() -> None:
        if fixed is not None:
            fix_backend(store.directory, fixed)

    def set_aside() -> None:
        set_old_store_aside(store, backend, when)

    def let_it_count() -> None:
        open_up(store, backend)

    for step in fix, let_it_count, set_aside:
        try:
            step()
        except (MilestoneError, OSError) as error:
            store.warn(f"everything was moved to the {backend.name} backend, but: {error}")
    store.close()


def open_up(store: Storage, backend: Backend) -> None:
    """Make the new store valid for other machines too."""
    if backend.has_rows_of(store.backend):
        return
    target = store.open_other(backend)
    try:
        with target.transaction():
            remove_tombstone(target)
    finally:
        target.close()


def set_old_store_aside(store: Storage, backend: Backend, when: str) -> None:
    """Move obsolete files below backups/."""
    aside = os.path.join(store.directory, "backups", when)
    if not backend.has_rows_of(store.backend):
        store.set_aside(aside)
    if not backend.records_are_files:
        move_files(store.directory, FOLDERS, aside)


def log_move(store: Storage, told: Migration) -> None:
    """Record the move in the log; only a warning if that fails."""
    try:
        with Log(store, "storage-events.jsonl") as log:
            log.append({"timestamp": store.now(), "event": "backend_migrated", "milestone_id": "",
                        "backend": told["to"], "details": {"from": told["from"], "rows": sum(told["rows"].values()),
                                                           "backup": told["backup"]}})
    except MilestoneError as error:
        store.warn(f"everything was moved to the {told['to']} backend, but not noted in the log: {error}")
