"""Several files replaced as one: a journal with all that is to be written, made whole first, then carried out.

Whoever holds the store's exclusive lock and finds a journal carries it out (again): a crash at any moment leaves
the files as before or as after.
"""
from __future__ import annotations

import json
import os

from ..errors import StorageError
from .directory import cannot_write, open_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Contents = Mapping[str, str | None]

JOURNAL = "file-store.journal"
PART = "file-store.part"  # one is enough: only the holder of the exclusive lock writes


def replace_files(directory: str, contents: Contents) -> None:
    """Write each file (None: remove it), all or none; StorageError if nothing was changed."""
    try:
        _write_file(directory, JOURNAL, json.dumps(contents, ensure_ascii=False))
        _sync_directory(directory)
    except OSError as error:
        raise cannot_write(os.path.join(directory, JOURNAL), error) from None
    try:
        _carry_out(directory, contents)
    except OSError:  # it is decided and kept: whoever opens the store next carries it out, or says why not
        pass


def is_pending(directory: str) -> bool:
    """Whether a journal waits to be carried out."""
    return os.path.exists(os.path.join(directory, JOURNAL))


def finish_pending(directory: str) -> None:
    """Carry out the journal that a crash left, if there is one; the caller holds the exclusive lock."""
    path = os.path.join(directory, JOURNAL)
    try:
        with open(path, "rb") as file:
            contents = json.loads(file.read())
        if not isinstance(contents, dict) or not all(_is_ours(directory, name) for name in contents):
            raise ValueError
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError):
        raise StorageError(f"{path} cannot be read; everything was left as it is: put a backup in the directory's "
                           "place, or remove this file to lose the one change it holds") from None
    try:
        _carry_out(directory, contents)
    except OSError as error:
        raise cannot_write(directory, error) from None


def _is_ours(directory: str, name: str) -> bool:
    """Whether a journal, which may have come with a cloned repository, names a file inside the directory."""
    parts, home = name.split("/"), os.path.realpath(directory)
    return (len(parts) <= 3 and not any(part.startswith(".") or not part for part in parts)
            and os.path.realpath(os.path.join(home, *parts[:-1])) == os.path.join(home, *parts[:-1]))


def _carry_out(directory: str, contents: Contents) -> None:
    for name, text in contents.items():
        if text is None:
            _remove(os.path.join(directory, name))
        else:
            _write_file(directory, name, text)
    for folder in {os.path.dirname(name) for name in contents}:
        _sync_directory(os.path.join(directory, folder))
    _remove(os.path.join(directory, JOURNAL))


def _write_file(directory: str, name: str, text: str) -> None:
    """Put a whole file, durable, in the place of what was there."""
    part, path = os.path.join(directory, PART), os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = open_private(part, os.O_WRONLY | os.O_TRUNC)
    try:
        data = memoryview(text.encode())
        while data:
            data = data[os.write(descriptor, data):]
        os.fsync(descriptor)
    except OSError:
        os.unlink(part)  # a full disk needs its room
        raise
    finally:
        os.close(descriptor)
    os.replace(part, path)


def _sync_directory(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # nothing was ever written there
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
