"""Replaces several files atomically: first written next to their targets, then listed in a journal, then renamed.

What takes room comes before anything is decided, and a change is taken back until its first file is in place. From
then on the journal counts, which holds all that was to be written: readers look through it, the holder of the
store's exclusive lock carries it out (again). So a crash at any moment leaves the files as before or as after. Where
somebody has removed the lock, so that two write at once, each has names of its own for what it writes beside.
"""
from __future__ import annotations

import json
import os

from ...base.errors import StorageError
from ...base.found import cannot_read, open_found
from ...base.tables import TABLES
from ...base.values import has_controls, whole_characters
from ..backends import FILE
from ..directory import INNER
from ..files import cannot_write, fill_file, make_folder, open_private, remove_if_there, sync_directory
from .layout import ONE_FILE, damaged, folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Contents = Mapping[str, str | None]

JOURNAL = "file-store.journal"
NAMES = frozenset((FILE.head, *ONE_FILE.values()))
LONGEST_NAME = 255  # bytes
FOLDERS = frozenset(folder_of(table) for table in TABLES if table not in ONE_FILE)


class StoreFiles:
    """The files of a store as they are, or as they will be after replaying the journal that a crash left."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.pending: Contents = {}

    def look_for_journal(self) -> None:
        """Look for a pending journal; the caller holds the lock. StorageError if it is unreadable."""
        self.pending = _read_journal(self.directory) if is_pending(self.directory) else {}

    def carry_out_journal(self) -> None:
        """Replay the pending journal, if there is one; the caller holds the exclusive lock."""
        self.look_for_journal()
        if self.pending:
            try:
                tag = os.urandom(4).hex()
                _write_parts(self.directory, self.pending, tag)
                _carry_out(self.directory, self.pending, tag)
            except OSError as error:
                raise cannot_write(self.directory, error) from None
            self.pending = {}

    def path(self, name: str) -> str:
        """Where a file of the store is."""
        return os.path.join(self.directory, name)

    def list(self, folder: str) -> set[str]:
        """The names in a folder; none if there is no folder."""
        try:
            names = set(os.listdir(self.path(folder)))
        except FileNotFoundError:
            names = set()
        except OSError as error:
            raise cannot_read(self.path(folder), error) from None
        for name, text in self.pending.items():
            home, _, base = name.rpartition("/")
            if home == folder:
                (names.discard if text is None else names.add)(base)
        return names

    def count(self, folder: str) -> int:
        """How many files of rows there are in a folder."""
        return sum(name.endswith((".json", ".jsonl")) for name in self.list(folder))

    def exists(self, name: str) -> bool:
        """Whether a file is there, or will be once the journal is carried out."""
        if name in self.pending:
            return self.pending[name] is not None
        return os.path.lexists(self.path(name))

    def read(self, name: str) -> bytes:
        """The contents of a file; OSError if it cannot be read."""
        text = self.pending.get(name)
        if text is not None:
            return text.encode()
        with open_found(self.path(name)) as file:
            return file.read()


def is_pending(directory: str) -> bool:
    """Whether a journal is pending."""
    return os.path.exists(os.path.join(directory, JOURNAL))


def replace_files(directory: str, contents: Contents, require_lock: Callable[[], None]) -> None:
    """Write each file (None: remove it), all or none; StorageError if nothing was changed.

    require_lock: raises StorageError where the caller has the store's lock no more
    """
    tag, is_told = os.urandom(4).hex(), False
    try:
        _write_parts(directory, contents, tag)
        journal = os.path.join(directory, f"{JOURNAL}.{tag}.part")
        _write_part(journal, json.dumps(contents, ensure_ascii=False))
        require_lock()
        os.replace(journal, os.path.join(directory, JOURNAL))
        is_told = True
        sync_directory(directory)
        _carry_out(directory, contents, tag)
    except OSError as error:
        if not (is_told and _has_begun(directory, tag)):  # else it is decided and kept: the journal counts
            raise _take_back(directory, error, tag) from None


def _read_journal(directory: str) -> Contents:
    path = os.path.join(directory, JOURNAL)
    try:
        with open_found(path) as file:
            contents = json.loads(file.read())
        if not isinstance(contents, dict) or not all(_is_ours(directory, *item) for item in contents.items()):
            raise ValueError
    except (OSError, ValueError, RecursionError):
        raise damaged(directory, path, "it cannot be read; without it the one change that it holds is lost") from None
    return contents


def _is_ours(directory: str, name: str, text: object) -> bool:
    """Whether a journal, which may have come with a cloned repository, names a row file or the head, as ours do."""
    folder, _, base = name.rpartition("/")
    home = os.path.realpath(directory)
    if name not in NAMES and (folder not in FOLDERS and folder not in INNER or not base.endswith((".json", ".jsonl"))):
        return False
    if text is None:
        text = "" if name != FILE.head else None  # without it the rows are lost
    return (isinstance(text, str) and not base.startswith(".") and len(os.fsencode(base)) <= LONGEST_NAME
            and not has_controls(base) and whole_characters(base + text) == base + text
            and os.path.realpath(os.path.join(home, folder)) == os.path.join(home, folder).rstrip("/"))


def _part(directory: str, number: int, tag: str) -> str:
    """The temporary path of the n-th file to be written."""
    return os.path.join(directory, f"file-store.{number}.{tag}.part")


def _write_parts(directory: str, contents: Contents, tag: str) -> None:
    """Write every new text, and create the folders for them."""
    _remove_parts(directory)  # of one who was killed
    for number, (name, text) in enumerate(_written(contents)):
        make_folder(os.path.dirname(os.path.join(directory, name)))
        _write_part(_part(directory, number, tag), text)


def _written(contents: Contents) -> list[tuple[str, str]]:
    return [(name, text) for name, text in contents.items() if text is not None]


def _carry_out(directory: str, contents: Contents, tag: str) -> None:
    for number, (name, _) in enumerate(_written(contents)):
        os.replace(_part(directory, number, tag), os.path.join(directory, name))
    for name, text in contents.items():
        if text is None:
            remove_if_there(os.path.join(directory, name))
    for folder in _folders(contents):
        sync_directory(os.path.join(directory, folder))
    remove_if_there(os.path.join(directory, JOURNAL))


def _folders(contents: Contents) -> list[str]:
    """The folders of the files and their parents: if one is new, its name is in its parent."""
    found = {""}
    for name in contents:
        while name:
            name = os.path.dirname(name)
            found.add(name)
    return sorted(found)


def _has_begun(directory: str, tag: str) -> bool:
    """Whether a file has its new text: the first that is renamed."""
    return is_pending(directory) and not os.path.exists(_part(directory, 0, tag))


def _take_back(directory: str, error: OSError, tag: str) -> StorageError:
    """Remove the files of a change that has not begun; returns the error that says what happened to it."""
    path = os.path.join(directory, JOURNAL)
    try:
        remove_if_there(path)
        _remove_parts(directory)
        sync_directory(directory)
    except OSError:
        if is_pending(directory):
            return StorageError(f"cannot write in {directory} ({error.strerror}): the change waits in {JOURNAL} and "
                                "is carried out by the next call that can write")
    return cannot_write(str(error.filename2 or error.filename or path).replace(f".{tag}", ""), error)


def _remove_parts(directory: str) -> None:
    for name in os.listdir(directory):
        if name.startswith("file-store.") and name.endswith(".part"):
            remove_if_there(os.path.join(directory, name))


def _write_part(path: str, text: str) -> None:
    fill_file(open_private(path, os.O_WRONLY | os.O_TRUNC), text.encode())
