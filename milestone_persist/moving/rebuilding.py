"""Replaces a damaged store with a backup: keeps all its files; the new store is complete before it becomes valid."""
from __future__ import annotations

import os

from ..opening.engines import files_of, open_backend
from ..records.undo import stamp
from ..storage.backends import DATABASE, FILE, IN_USE, JSONFILES
from ..storage.directory import move_files
from ..storage.files import cannot_write, make_folder
from ..storage.interface import ROW_COUNTS, Damaged
from ..storage.locks import FolderLock
from ..storage.parts import NewFile
from ..storage.selection import backend_in_use, read_note_stamp, write_word
from .backup_files import require_whole
from .export_file import require_file
from .transfer import copy_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.backends import Backend
    from ..storage.call import Call
    from ..storage.interface import Row, Storage


def rebuild_store(damage: Damaged, file: str) -> Row:
    """Move the files of a damaged store below backups/ and put a backup in their place; returns where they are kept.

    Killed on the way, the store is still damaged or gone, and the next call begins again. The records of milestones are
    in its rows at first, where the restoring that comes next finds them.
    """
    from ..storage.sqlite.safe_copy import copy_backup

    call = damage.call
    backend = backend_in_use(call.directory) or damage.backend
    path = require_file(call, files_of(backend), file, "backup")
    aside = os.path.join(call.directory, "backups", stamp(call) + "-damaged")
    make_folder(os.path.dirname(aside))
    with FolderLock(os.path.dirname(aside)):
        if read_note_stamp(call.directory) != damage.note_stamp:  # another process has done it meanwhile
            return {}
        with NewFile(os.path.join(call.directory, DATABASE.head), inside=True, replace=True) as new:
            copy_backup(path, new.part)
            copy = open_backend(DATABASE, call.directory, call.clock, call.environ, file=new.part, other=True)
            try:
                require_whole(copy, file)
                if backend.engine == JSONFILES:
                    _fill_files(copy, call, aside)
                else:
                    copy.execute("DELETE FROM agent_coordination_config WHERE key = :key", {"key": ROW_COUNTS})
            finally:
                copy.close()
            if backend.engine != JSONFILES:
                _move(call, backend, aside)
                new.finish()
        write_word(call.directory, IN_USE, backend.name)  # a process with the old store open follows
    return {"damaged": aside} if os.path.isdir(aside) else {}


def _move(call: Call, backend: Backend, aside: str) -> None:
    """Move the files of a store away, a stale journal before the file it belongs to."""
    try:
        move_files(call.directory, tuple(reversed(files_of(backend))), aside)
    except OSError as error:
        raise cannot_write(aside, error) from None


def _fill_files(backup: Storage, call: Call, aside: str) -> None:
    """Make row files, written next to the old ones, the store; the head file comes last."""
    import shutil

    beside = aside + "-unfinished"
    target = open_backend(FILE, beside, call.clock, call.environ, other=True)
    try:
        target.backend = DATABASE  # records are kept in the rows
        with target.transaction():
            copy_rows(backup, target, replace=True)
    finally:
        target.close()
    _move(call, FILE, aside)
    try:
        move_files(beside, tuple(reversed(files_of(FILE))), call.directory)
        shutil.rmtree(beside)
    except OSError as error:
        raise cannot_write(call.directory, error) from None


def refuse_damaged(store: Storage) -> None:
    """Damaged if the files of a store are not sound."""
    wrong = store.check() if store.FILES else []
    if wrong:
        raise Damaged(f"{store.directory} is damaged: {wrong[0]}", store, store.backend)
