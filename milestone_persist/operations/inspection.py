"""Looking: where the data is, who one is, whether all is well."""
from __future__ import annotations

import os

from ..errors import StorageError
from ..location import find_data_directory
from ..registry import operation
from ..storage.filesystem import filesystem_of, is_network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

GROUP = "Looking"


@operation(text="where", shell=False, creates=False)
def where(store: Storage) -> Row:
    """Print which data directory is used, and why.

    Example: where
    """
    found, reason = find_data_directory(os.getcwd(), store.environ)
    if found != store.directory:
        reason = "it was named by the caller"
    return {"directory": store.directory, "reason": reason, **store.describe()}


@operation(text="doctor", shell=False, creates=False)
def doctor(store: Storage) -> Row:
    """Check that the storage is sound; status 3 and what is wrong if it is not.

    Example: doctor
    """
    wrong = store.check()
    if wrong:
        raise StorageError(f"{store.directory} is damaged: " + "; ".join(wrong[:5]))
    if is_network(store.directory):
        store.warn(f"{store.directory} lies on {filesystem_of(store.directory)}, whose locks cannot be trusted between "
                   "machines: use it from one machine only, or PostgreSQL (MILESTONE_DATABASE_URL)")
    return {**store.describe(), "filesystem": filesystem_of(store.directory)}


@operation(text="generated", shell=False, creates=False)
def generate(store: Storage, *files: str) -> list[Row]:
    """Make the generated files of this project again, or only tell which are stale; for its developers.

    files: some of them; without any, all

    Example: generate
    """
    from ..generated import write_generated

    return write_generated(files)
