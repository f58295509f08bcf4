"""Milestone records: one text a milestone (YAML, but opaque here), as a file or, on the database backend, a row."""
from __future__ import annotations

import os

from ..errors import Refused, StorageError
from ..filenames import file_name_of, name_of_file
from ..shellwords import quote
from ..storage.directory import write_whole
from .headings import read_headings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

FOLDERS = ("completed", "active")  # where both hold a milestone's record, the active one counts


def keeps_files(store: Storage) -> bool:
    """Whether records are files in active/ and completed/, which people edit; else they are in the milestones table."""
    return store.backend in ("file", "hybrid")


def record_path(store: Storage, milestone_id: str, folder: str = "active") -> str:
    """Where the record of a milestone lies or would lie, as a full path."""
    return os.path.join(store.directory, folder, file_name_of(milestone_id, keep_case=True) + ".yaml")


def find_record(store: Storage, milestone_id: str) -> str | None:
    """The record's text exactly as it was written, or None."""
    if not keeps_files(store):
        rows = store.execute("SELECT data FROM milestones WHERE id = :id AND data <> ''", {"id": milestone_id})
        return str(rows[0]["data"]) if rows else None
    for folder in reversed(FOLDERS):
        text = _read_file(record_path(store, milestone_id, folder))
        if text is not None:
            return text
    return None


def _read_file(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read().decode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except UnicodeDecodeError:
        raise StorageError(f"{path} is not UTF-8 text: mend it first") from None


def write_record(store: Storage, milestone_id: str, text: str, folder: str = "active") -> None:
    """Write the record whole or not at all and note its headings, within the caller's transaction; the row is there."""
    path = stamp = None
    if keeps_files(store):
        full = record_path(store, milestone_id, folder)
        write_whole(full, text.encode())
        path, stamp = os.path.relpath(full, store.directory), stamp_of(full)
    _note_record(store, milestone_id, text, folder, path, stamp)


def _note_record(store: Storage, milestone_id: str, text: str, folder: str, path: str | None,
                 stamp: str | None) -> None:
    headings, archived = read_headings(text), folder == "completed"
    store.execute(
        "UPDATE milestones SET title = :title, status = :status, priority = :priority, data = :data, "
        "file_path = :path, file_stamp = :stamp, archived_at = :archived, updated_at = :now WHERE id = :id",
        {"id": milestone_id, "title": headings.get("title", milestone_id), "now": store.now(),
         "status": "completed" if archived else headings.get("status", "active"),
         "priority": headings.get("priority", "medium"), "data": "" if path else text, "path": path, "stamp": stamp,
         "archived": store.now() if archived else None})


def place_record(store: Storage, row: Row) -> None:
    """Give a milestones row that brings its record's text (`data`) the file of it; its other columns stay."""
    path = record_path(store, row["id"], "completed" if row.get("archived_at") else "active")
    if _read_file(path) != row["data"]:
        write_whole(path, row["data"].encode())
    store.execute("UPDATE milestones SET data = '', file_path = :path, file_stamp = :stamp WHERE id = :id",
                  {"id": row["id"], "path": os.path.relpath(path, store.directory), "stamp": stamp_of(path)})


def archive_record(store: Storage, milestone_id: str) -> str | None:
    """Move a record to completed/ and mark its milestone completed; the file's new path, None where it is no file."""
    given = {"id": milestone_id, "now": store.now(), "path": None, "stamp": None}
    new = None
    if keeps_files(store):
        old, new = record_path(store, milestone_id), record_path(store, milestone_id, "completed")
        os.makedirs(os.path.dirname(new), mode=0o700, exist_ok=True)
        os.replace(old, new)
        given.update(path=os.path.relpath(new, store.directory), stamp=stamp_of(new))
    store.execute("UPDATE milestones SET status = 'completed', file_path = :path, file_stamp = :stamp, "
                  "archived_at = :now, updated_at = :now WHERE id = :id", given)
    return new


def stamp_of(path: str) -> str:
    """What tells whether a file was edited: its time of change and its size."""
    status = os.stat(path)
    return f"{status.st_mtime_ns}:{status.st_size}"


def index_records(store: Storage) -> None:
    """Bring the milestones table in line with the record files: those edited, added, moved or removed by hand."""
    if not keeps_files(store):
        return
    known = {row["id"]: row for row in store.execute(
        "SELECT id, file_path, file_stamp FROM milestones WHERE file_path IS NOT NULL")}
    there = _scan_files(store)
    changed = [name for name, (path, stamp) in there.items()
               if name not in known or (known[name]["file_path"], known[name]["file_stamp"]) != (path, stamp)]
    gone = [name for name in known if name not in there]
    if changed or gone:
        with store.transaction("milestones"):
            for name in changed:
                _index_file(store, name, *there[name])
            for name in gone:
                _forget_file(store, name)


def _scan_files(store: Storage) -> dict[str, tuple[str, str]]:
    """The record files there are: milestone id to relative path and stamp."""
    found = {}
    for folder in FOLDERS:
        try:
            names = sorted(os.listdir(os.path.join(store.directory, folder)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".yaml") and not name.startswith(".") and os.path.isfile(
                    os.path.join(store.directory, path)):
                found[_id_of(store, path)] = (path, stamp_of(os.path.join(store.directory, path)))
    return found


def _id_of(store: Storage, path: str) -> str:
    """The milestone a record file belongs to: by its name or, where that was too long to be kept, by its text."""
    name = name_of_file(os.path.basename(path)[:-len(".yaml")])
    if name is None:
        name = read_headings(_read_file(os.path.join(store.directory, path)) or "").get("id")
    return name or os.path.basename(path)


def _index_file(store: Storage, milestone_id: str, path: str, stamp: str) -> None:
    text = _read_file(os.path.join(store.directory, path)) or ""
    store.execute("INSERT INTO milestones (id, title, created_at, updated_at) VALUES (:id, :id, :now, :now) "
                  "ON CONFLICT (id) DO NOTHING", {"id": milestone_id, "now": store.now()})
    _note_record(store, milestone_id, text, os.path.dirname(path), path, stamp)


def _forget_file(store: Storage, milestone_id: str) -> None:
    """A record was removed by hand: the milestone goes too, unless a session or an agent still refers to it."""
    given = {"id": milestone_id}
    store.execute("UPDATE milestones SET file_path = NULL, file_stamp = NULL WHERE id = :id", given)
    store.execute(
        "DELETE FROM milestones WHERE id = :id "
        "AND NOT EXISTS (SELECT 1 FROM coordination_sessions s WHERE s.milestone_id = milestones.id) "
        "AND NOT EXISTS (SELECT 1 FROM agent_registry a WHERE a.milestone_id = milestones.id)", given)


def require_record(store: Storage, milestone_id: str) -> str:
    """The record's text; Refused names the nearest milestones."""
    text = find_record(store, milestone_id)
    if text is None:
        from .membership import suggest

        rows = store.execute("SELECT id FROM milestones ORDER BY updated_at DESC LIMIT 1000")
        known = [row["id"] for row in rows]
        if milestone_id in known:
            raise Refused(f"milestone {milestone_id!r} has no record yet: "
                          f"create_milestone_record {quote(milestone_id)} TEXT")
        raise Refused(f"no record of milestone {milestone_id!r} {suggest(store, milestone_id, known)}")
    return text


def list_records(store: Storage, status: str | None = None) -> list[Row]:
    """The milestones with what their records' headings say, in the order of their ids."""
    return store.execute(
        "SELECT id, title, status, priority, created_at, updated_at, file_path FROM milestones "
        "WHERE :status IS NULL OR status = :status ORDER BY id", {"status": status})
