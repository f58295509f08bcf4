"""Looking: where the data is, who one is, whether all is well."""
from __future__ import annotations

import os

from ..errors import StorageError
from ..location import find_data_directory
from ..registry import operation

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
    return store.describe()


@operation(text="generated", shell=False, creates=False)
def generate(store: Storage, *files: str) -> list[Row]:
    """Make the generated files of this project again, or only tell which are stale; for its developers.

    files: some of them; without any, all

    Example: generate
    """
    from ..generated import write_generated

    return write_generated(files)
