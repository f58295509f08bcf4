"""The check that a backup is complete."""
from __future__ import annotations

from ..base.errors import StorageError, UsageError
from ..base.values import dump_json
from ..storage.interface import ROW_COUNTS
from .transfer import count_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..storage.interface import Storage


def note_row_counts(backup: Storage, rows: Mapping[str, int]) -> None:
    """Store the number of rows in a backup: the last step of filling it, within the caller's transaction."""
    backup.execute("INSERT INTO agent_coordination_config (key, value, updated_at) VALUES (:key, :rows, :now)",
                   {"key": ROW_COUNTS, "rows": dump_json(rows, sort_keys=True), "now": backup.now()})


def require_whole(backup: Storage, file: str) -> None:
    """UsageError unless a backup is complete.

    One of an earlier version has no such note. It got its rows in one transaction: killed, it holds only settings.
    """
    try:
        wrong = backup.check()
        rows = {} if wrong else count_rows(backup)
    except StorageError as error:
        wrong = [str(error)]
    if wrong:
        raise UsageError(f"the backup {file!r} is damaged ({wrong[0]}): name another one")
    counts = backup.execute("SELECT value FROM agent_coordination_config WHERE key = :key", {"key": ROW_COUNTS})
    if counts and counts[0]["value"] != dump_json(rows, sort_keys=True):
        raise UsageError(f"{file!r} is not a complete backup: it counts other rows than it has; name another one")
    if not counts and not any(number for table, number in rows.items() if table != "agent_coordination_config"):
        raise UsageError(f"{file!r} is not a complete backup: it holds nothing, as one whose making was stopped; "
                         "name another one")
