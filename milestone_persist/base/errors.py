"""The errors, each with its exit status. The text of an error is one line that says what to do."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class MilestoneError(Exception):
    """Base of every error of this package; `status` is the exit status of the command line."""

    status = 1


class Refused(MilestoneError):
    """The answer is no: not found, or nothing to do for what was named."""

    status = 1


class Incomplete(Refused):
    """The answer is no, or only a part of the request could be done; `data` is the operation's result."""

    def __init__(self, text: str, data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        super().__init__(text)
        self.data = data


class UsageError(MilestoneError):
    """Bad usage or a bad value; nothing was changed."""

    status = 2


class StorageError(MilestoneError):
    """The storage cannot be used: missing, busy, full, unreadable or newer than this program."""

    status = 3


class Unsound(StorageError):
    """Something is wrong with the storage; `data` is everything that was found."""

    def __init__(self, text: str, data: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(text)
        self.data = data


class Busy(StorageError):
    """Another process holds the storage, and waiting for it timed out."""


def closed() -> StorageError:
    """A store was used after it was closed."""
    return StorageError("the store is closed: open it again with open_store()")


class MilestoneWarning(UserWarning):
    """Something was done, but probably not what was meant."""


def newer(path: str, version: int, newest: int) -> StorageError:
    """The error for a store that a newer program has written."""
    return StorageError(f"{path} has schema version {version}, newer than this program's {newest}: "
                        "use a newer milestone_persist")
