"""What can go wrong, each with the exit status a shell sees. The text of an error is one line that says what to do."""
from __future__ import annotations


class MilestoneError(Exception):
    """Base of every error of this package; `status` is the exit status of the command line."""

    status = 1


class Refused(MilestoneError):
    """The answer is no: not found, or nothing to do that was asked for by name."""

    status = 1


class UsageError(MilestoneError):
    """Bad usage or a bad value; nothing was changed."""

    status = 2


class StorageError(MilestoneError):
    """The storage cannot be used: missing, busy, full, unreadable or newer than this program."""

    status = 3


class MilestoneWarning(UserWarning):
    """Something was done, but probably not what was meant."""
