"""Selects the backend of a data directory: the one fixed by hand, else the one in use, else the default."""
from __future__ import annotations

import os

from ..base.errors import StorageError, UsageError
from ..base.found import read_found
from ..base.values import text_of_path
from .backends import DATABASE, DEFAULT, FILE, HYBRID, IN_USE, NAMED, POSTGRESQL
from .files import cannot_write, remove_if_there, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .backends import Backend

FIXED = os.path.join("config", "storage-backend.txt")  # written by people, and by migrate_storage_backend
MOVING = "moving"  # what stands there while that works: what is in use decides


def database_url(environ: Mapping[str, str]) -> str:
    """The URL of a PostgreSQL database, if one is set."""
    if environ.get("MILESTONE_DATABASE_URL"):
        return environ["MILESTONE_DATABASE_URL"]
    return environ.get("DATABASE_URL", "") if environ.get("DATABASE_TYPE", "").lower() == POSTGRESQL.name else ""


def fixed_backend(directory: str, environ: Mapping[str, str]) -> str:
    """The backend that MILESTONE_BACKEND or config/storage-backend.txt names; "" if neither does. It may be MOVING.

    UsageError for a word that names none.
    """
    words = [backend.word for backend in NAMED.values()]
    for source, word, known in (("MILESTONE_BACKEND", environ.get("MILESTONE_BACKEND", ""), words),
                                (FIXED, read_word(directory, FIXED), [*words, MOVING])):
        if word and word not in known:
            raise UsageError(f"{source} names no backend ({word!r}): make it file, hybrid or database")
        if word:
            return word
    return ""


def backend_in_use(directory: str) -> Backend | None:
    """The backend in use; None for a directory that has no rows yet."""
    noted = NAMED.get(read_word(directory, IN_USE))
    if noted:
        return noted
    if os.path.exists(os.path.join(directory, HYBRID.head)):  # made by an earlier tool
        return DATABASE if read_word(directory, FIXED) == DATABASE.word else HYBRID
    return FILE if os.path.exists(os.path.join(directory, FILE.head)) else None


def store_in_use(directory: str) -> str:
    """The backend in use and the directory, as named by a retired store."""
    used = backend_in_use(directory)
    return name_store(used.name if used else "", directory)


def name_store(backend: str, directory: str) -> str:
    """A store as it is named elsewhere: the name of its backend, and its data directory."""
    return f"{backend} {text_of_path(os.path.realpath(directory))}"


def read_note_stamp(directory: str) -> tuple[int, int]:
    """A value that changes when the rows of a directory are moved to another backend."""
    try:
        status = os.stat(f"{directory}/{IN_USE}")
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def backend_meant(word: str, environ: Mapping[str, str]) -> Backend:
    """The backend that a user's word means: `database` is PostgreSQL if a URL is set."""
    return POSTGRESQL if word == POSTGRESQL.word and database_url(environ) else NAMED[word]


def wanted_backend(directory: str, environ: Mapping[str, str]) -> Backend | None:
    """The backend that the settings ask for; None if they leave it open."""
    fixed = fixed_backend(directory, environ)
    if fixed == MOVING:
        return None
    if not fixed:
        return POSTGRESQL if database_url(environ) else None
    return backend_meant(fixed, environ)


def select_backend(directory: str, environ: Mapping[str, str], used: Backend | None) -> Backend:
    """The backend to open, given the one in use; StorageError if the rows are not where the settings say."""
    wanted = wanted_backend(directory, environ)
    if used and wanted and wanted is not used:
        if (wanted, used) != (wanted_backend(directory, environ), backend_in_use(directory)):  # it is just being moved
            return select_backend(directory, environ, backend_in_use(directory))
        require_url(directory, used, environ)
        stay = "; unset MILESTONE_BACKEND goes on with it as it is" if environ.get("MILESTONE_BACKEND") else ""
        raise StorageError(f"the data of {directory} is in the {used.name} backend, but {wanted.name} is set: "
                           f"migrate_storage_backend {wanted.word} moves it{stay}")
    if used:
        require_url(directory, used, environ)
    return used or wanted or DEFAULT


def require_url(directory: str, backend: Backend, environ: Mapping[str, str]) -> None:
    """StorageError if the rows are in PostgreSQL and no URL says where that is."""
    if backend is POSTGRESQL and not database_url(environ):
        raise StorageError(f"the data of {directory} is in PostgreSQL: set MILESTONE_DATABASE_URL. To move it to "
                           "SQLite, with that set: migrate_storage_backend hybrid; then unset it: "
                           "migrate_storage_backend database")


def claim_backend(directory: str, backend: Backend) -> tuple[Backend, bool]:
    """Note the backend of a new directory; returns the noted one, and whether this process noted it first."""
    try:
        write_word(directory, IN_USE, backend.name, replace=False)
    except FileExistsError:
        return backend_in_use(directory) or backend, False
    return backend, True


def fix_backend(directory: str, word: str) -> None:
    """Fix the backend in the settings file; "" lets the number of milestones decide again."""
    if word:
        write_word(directory, FIXED, word)
        return
    path = os.path.join(directory, FIXED)
    try:
        remove_if_there(path)
    except OSError as error:
        raise cannot_write(path, error) from None


def read_word(directory: str, name: str, position: int = 0) -> str:
    """The first word of a small file, or a later one; "" if it is not there."""
    words = (read_found(os.path.join(directory, name), 1000) or b"").decode("utf-8", "replace").split()
    return words[position] if position < len(words) else ""


def write_word(directory: str, name: str, word: str, replace: bool = True) -> None:
    """Write a small file whole or not at all; FileExistsError if it is there and is not to be replaced."""
    write_whole(os.path.join(directory, name), f"{word}\n".encode(), replace)
