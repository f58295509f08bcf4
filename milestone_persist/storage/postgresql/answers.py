"""Results from the server: answers that are read later, and refusals or lost connections as our errors."""
from __future__ import annotations

from ...base.errors import Busy, MilestoneError, StorageError, UsageError
from ..interface import Posted
from .text import read_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .psql import Failed, Lost
    from .url import DatabaseUrl


class LaterAnswer(Posted):
    """The answer to a statement that is sent to the server together with a later one.

    lines: its rows, once they are here
    refusal: why they will never be
    """

    __slots__ = ("send", "lines", "refusal")

    def __init__(self, send: Callable[[], object]) -> None:
        self.send, self.refusal = send, ""
        self.lines: list[bytes] | None = None

    def rows(self) -> list[Any]:
        if self.refusal:
            raise StorageError(self.refusal)
        if self.lines is None:
            self.send()
        return [read_row(line) for line in self.lines or []]


def lost(target: DatabaseUrl, loss: Lost) -> StorageError:
    """The error for a lost connection, with everything that its transaction has done."""
    reason = loss.text.partition("\n")[0].strip()
    return StorageError(f"the connection to {target.shown} was lost ({reason}); nothing was changed: try again")


def explain(target: DatabaseUrl, error: Failed, wait_seconds: float) -> MilestoneError:
    """The server's refusal as one of our errors, by its SQLSTATE."""
    state, shown, text = error.state, target.shown, error.message
    if state[:2] in ("23", "22", "P0"):
        return UsageError(f"refused by the database: {text}")
    if state == "54000":
        return UsageError(f"refused by the database: an id or key is longer than PostgreSQL can index ({text})")
    if state == "57014":
        return StorageError(f"{shown}: a query went on for too long and was stopped ({text}); nothing was done: try "
                            "again, or ask who administers the server what holds it up")
    if state in ("55P03", "40001", "40P01"):
        return Busy(f"{shown} is busy: another process has been writing for {wait_seconds:g} s; try again")
    if state == "42501":
        return StorageError(f"{shown}: {text}; GRANT it to this user, CREATE on the database for the first use")
    if state[:2] == "53":
        return StorageError(f"{shown}: {text}; make room on the server, then try again")
    if state == "25006":
        return StorageError(f"{shown} is read-only ({text}): name the primary server in MILESTONE_DATABASE_URL")
    return StorageError(f"{shown}: {text} (SQLSTATE {state})")
