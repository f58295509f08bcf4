"""Files that agents left in /tmp before there was a store: finds, reads and stores them as state."""
from __future__ import annotations

import os

from ..base.errors import Incomplete
from ..coordination.leftovers import find_files
from ..coordination.sessions import session_for_newcomers
from ..coordination.tmp_files import TMP, find_stored, keep_files, plan_files, session_named
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import ImportedFile, ImportedFiles
    from ..storage.interface import Row, Storage

GROUP = "Moving in from /tmp"
@operation(text="imported_files")
def import_tmp_files(store: Storage, dir: str = TMP, *, session: str = "", remove: bool = False,
                     dry_run: bool = False) -> ImportedFiles:
    """Import milestone-*.json, planning-*.json and the like from a directory into the state of agents and sessions.

    dir: where to look, without subfolders
    session: the session they belong to; else one contained in a file's name, $SESSION_ID, or the active one
    remove: delete each file whose content was read back from the store
    dry_run: only tell what would be done

    The newest file of a key is kept under it, others under older-KEY-TIME. Links and files of others are left alone.
    Example: import_tmp_files /tmp --session planning-ms-123-1 --dry-run
    """
    found, skipped = find_files(dir)
    with store.transaction("import"):
        for file in found:
            file["session_id"] = session or session_named(store, file["file"]) or session_for_newcomers(store)
        plan_files(store, found)
        if not dry_run:
            keep_files(store, found)
    if remove and not dry_run:
        for file in found:
            file["removed"] = _remove(store, dir, file)
    told: ImportedFiles = {"directory": dir, "dry_run": dry_run, "removed": remove, "skipped": skipped,
                 "files": [_tell(file) for file in found]}
    failed = [file["file"] for file in skipped if file["failed"]]
    if failed:
        raise Incomplete(f"{len(failed)} of {len(failed) + len(found)} files could not be taken, {failed[0]!r} first: "
                         "they are where they were", told)
    return told


def _tell(file: Row) -> ImportedFile:
    return {"file": file["file"], "what": file["what"], "agent_id": file["agent_id"], "state_key": file["state_key"],
            "session_id": file["session_id"], "is_json": file["is_json"], "removed": file.get("removed", False)}


def _remove(store: Storage, directory: str, file: Row) -> bool:
    """Delete a file if the store returns what was read from it, and it is still the same file."""
    path = os.path.join(directory, file["file"])
    stored = find_stored(store, file["agent_id"], file["state_key"])
    try:
        now, then = os.lstat(path), file["stat"]
        same = os.path.samestat(now, then) and (now.st_mtime_ns, now.st_size) == (then.st_mtime_ns, then.st_size)
        if stored and stored["state_value"] == file["text"] and same:
            os.unlink(path)
            return True
    except OSError:
        pass
    store.warn(f"{path} was not removed: it could not be, or has changed meanwhile")
    return False
