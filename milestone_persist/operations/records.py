"""Milestone records: one YAML text a milestone, kept as a file that people and agents read."""
from __future__ import annotations

import os

from ..errors import Refused, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Storage

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_LONGEST = 200  # of the 255 bytes a file name may have


def file_name_of(name: str) -> str:
    """A file name for any id: itself where that is safe, else encoded; no two ids share one, whatever the case."""
    plain = "".join(c if c in _SAFE else "".join("%%%02x" % byte for byte in c.encode()) for c in name)
    if plain.startswith("."):
        plain = "%2e" + plain[1:]
    if len(plain) <= _LONGEST:
        return plain
    import hashlib

    return plain[:_LONGEST - 65] + "~" + hashlib.sha256(name.encode()).hexdigest()


def record_path(store: Storage, milestone_id: str, folder: str = "active") -> str:
    """Where the record of a milestone lies, as a full path."""
    return os.path.join(store.directory, folder, file_name_of(milestone_id) + ".yaml")


def read_record(store: Storage, milestone_id: str) -> str:
    """The record's text; Refused if there is none."""
    try:
        with open(record_path(store, milestone_id), encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise Refused(f"no record of milestone {milestone_id!r}") from None


def write_record(store: Storage, milestone_id: str, text: str) -> str:
    """Write the record whole or not at all, within the caller's transaction; returns its path."""
    path = record_path(store, milestone_id)
    part = f"{path}.{os.getpid()}.part"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}): make it writable, "
                           "or set MILESTONE_DIR to a directory that is") from None
    store.execute("UPDATE milestones SET file_path = :path, updated_at = :now WHERE id = :id",
                  {"path": os.path.relpath(path, store.directory), "now": store.now(), "id": milestone_id})
    return path
