"""The record of a milestone: one text (YAML, but opaque here), as a file or, on the database backend, a row."""
from __future__ import annotations

import os

from ..base.errors import Refused, StorageError
from ..base.found import read_found
from .files import (
    FOLDERS,
    find_files_of,
    find_record_files,
    new_path,
    path_counting,
    read_text,
    record_folder,
    stamp_of,
)
from .headings import read_headings
from .undo import move_file, set_aside, write_file, write_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..storage.interface import Row, Storage
    from .files import RecordFiles


def find_record(store: Storage, milestone_id: str) -> str | None:
    """The record's text exactly as it was written, or None."""
    rows = store.execute("SELECT data, file_path FROM milestones WHERE id = :id", {"id": milestone_id})
    if not store.backend.records_are_files:
        return str(rows[0]["data"]) or None if rows else None
    if rows and rows[0]["file_path"]:
        name = os.path.basename(rows[0]["file_path"])
        for folder in reversed(FOLDERS):
            text = read_text(store, os.path.join(folder, name))
            if text is not None:
                return text
    files = find_files_of(store, milestone_id)  # it was written or renamed by hand and is not indexed yet
    if files:
        return read_text(store, path_counting(files)[0])
    return str(rows[0]["data"]) or None if rows else None


def read_record(store: Storage, row: Mapping[str, Any]) -> str:
    """The record of a milestone whose row was just indexed; "" if it has none, StorageError if it is missing."""
    if store.backend.records_are_files and not row["file_path"]:
        return row.get("data") or ""  # a foreign program may have put it there
    text = find_record(store, row["id"])
    if text is None and row["file_path"]:
        raise StorageError(f"the record of milestone {row['id']!r} is missing, it was {row['file_path']}: "
                           "put it there and try again")
    return text or ""


def write_record(store: Storage, milestone_id: str, text: str) -> None:
    """Write the record atomically and store its headings, within the caller's transaction; its row exists."""
    path = stamp = None
    if store.backend.records_are_files:
        row = store.execute("SELECT file_path FROM milestones WHERE id = :id", {"id": milestone_id})[0]
        name = os.path.basename(row["file_path"] or "")
        path = os.path.join("active", name) if name else new_path(store, milestone_id, "active")
        _write_file(store, milestone_id, path, text, path == row["file_path"])
        stamp = _stamp(store, path)
    note_record(store, milestone_id, text, path, stamp)


def _write_file(store: Storage, milestone_id: str, path: str, text: str, replace: bool) -> None:
    try:
        (write_file if replace else write_new)(store, path, text.encode())
    except FileExistsError:
        raise StorageError(f"{os.path.join(store.directory, path)} is there and is not a record of milestone "
                           f"{milestone_id!r}: fix it or move it away") from None


def _stamp(store: Storage, path: str) -> str:
    return stamp_of(os.path.join(store.directory, path))


def facts_of(milestone_id: str, text: str, path: str | None) -> Row:
    """What the milestones table says of a record."""
    headings, archived = read_headings(text), _is_archived(path)
    return {"title": headings.get("title", milestone_id), "priority": headings.get("priority", "medium"),
            "status": "completed" if archived else headings.get("status", "active")}


def _is_archived(path: str | None) -> bool:
    return path is not None and os.path.dirname(path) == record_folder(archived=True)


def note_record(store: Storage, milestone_id: str, text: str, path: str | None, stamp: str | None) -> None:
    """Store a record in the row of its milestone: its headings, and its text or the path of its file."""
    store.execute(
        "UPDATE milestones SET version = CASE WHEN file_path IS NULL AND data = '' THEN version ELSE version + 1 END, "
        "title = :title, status = :status, priority = :priority, data = :data, file_path = :path, "
        "file_stamp = :stamp, archived_at = :archived, updated_at = :now WHERE id = :id",
        {**facts_of(milestone_id, text, path), "id": milestone_id, "now": store.now(), "data": "" if path else text,
         "path": path, "stamp": stamp, "archived": store.now() if _is_archived(path) else None})


def write_record_files(store: Storage) -> None:
    """Write the file of every milestones row that contains its record's text (`data`), if records are files."""
    if store.backend.records_are_files:
        files = find_record_files(store)
        for row in store.execute("SELECT id FROM milestones WHERE data <> '' ORDER BY id"):
            whole = store.execute("SELECT * FROM milestones WHERE id = :id", row)[0]
            write_record_file(store, whole, files.get(row["id"], {}))


def write_record_file(store: Storage, row: Row, files: RecordFiles = {}) -> None:
    """Write the file of a milestones row that contains its record's text (`data`); its other columns are kept.

    files: the files there are of this milestone: one that holds the text already is it
    """
    folder, data = record_folder(bool(row["archived_at"])), row["data"].encode()
    path = files[folder][0] if folder in files else new_path(store, row["id"], folder)
    full = os.path.join(store.directory, path)
    if os.path.lexists(full) and read_found(full, alone=True) != data:
        _keep_other(store, path)
    if not os.path.lexists(full):
        write_new(store, path, data)
    store.execute("UPDATE milestones SET data = '', file_path = :path, file_stamp = :stamp WHERE id = :id",
                  {"id": row["id"], "path": path, "stamp": _stamp(store, path)})


def _keep_other(store: Storage, path: str) -> None:
    """Move another record file out of the way, and report it."""
    store.warn(f"there was another record in {path}: it is kept in {set_aside(store, path)}")


def archive_record(store: Storage, milestone_id: str) -> None:
    """Move a record to completed/ and mark its milestone completed; an existing one there is kept elsewhere."""
    given = {"id": milestone_id, "now": store.now(), "path": None, "stamp": None}
    if store.backend.records_are_files:
        files = find_files_of(store, milestone_id)
        if "active" not in files:
            raise Refused(f"the record of milestone {milestone_id!r} was just removed: nothing was changed")
        if "completed" in files:
            _keep_other(store, files["completed"][0])
        old = files["active"][0]
        new = os.path.join("completed", os.path.basename(old))
        move_file(store, old, new)
        given.update(path=new, stamp=_stamp(store, new))
    store.execute("UPDATE milestones SET version = version + 1, status = 'completed', file_path = :path, "
                  "file_stamp = :stamp, archived_at = :now, updated_at = :now WHERE id = :id", given)
