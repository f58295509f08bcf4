"""Opening the storage of a data directory."""
from __future__ import annotations

from .interface import Clock, Storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def open_storage(directory: str, clock: Clock, environ: Mapping[str, str], create: bool = True) -> Storage:
    """The storage of `directory`; where there is none and `create` is false, an empty one that leaves no trace."""
    from .sqlite import SqliteStorage

    return SqliteStorage(directory, clock, environ, create)
