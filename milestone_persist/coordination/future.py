"""Times in the future, from a clock that was ahead: they count as now, so that they keep nothing alive."""
from __future__ import annotations

from ..base.errors import MilestoneError
from ..base.tables import TABLES
from ..base.times import minutes_between, shift_time
from ..base.vocabulary import AT_WORK, any_of
from .message_states import TAKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

TOLERANCE = 60  # seconds by which the clocks of machines may differ
# Since when something is alive; until when, if that is kept too; which rows count: those an index has.
SPANS = (("agent_registry", "last_heartbeat", "", f"status IN {any_of(AT_WORK)}"),
         ("coordination_sessions", "last_activity", "", "status = 'active'"),
         ("milestone_locks", "acquired_at", "expires_at", "expires_at > :limit"),
         ("agent_messages", "delivered_at", "lease_until", f"{TAKEN} AND lease_until > :limit"),
         ("agent_state", "updated_at", "expires_at", "expires_at > :limit"))


def count_from_now(store: Storage, lease: str = "") -> None:
    """Move what starts in the future to now, keeping its duration; within the caller's transaction.

    lease: only that on this milestone
    """
    for table, begun, until, which in SPANS:
        for row in _find_future(store, table, begun, until, which) if not lease or table == "milestone_locks" else ():
            if lease in ("", row.get("milestone_id")):
                _begin_now(store, table, begun, until, row)


def look_from_now(store: Storage) -> None:
    """Do that before liveness is checked, if it is possible without waiting for others."""
    if not store.depth and any(_find_future(store, *span) for span in SPANS[:2]):
        try:
            with store.hurry(), store.transaction("agents"):
                count_from_now(store)
        except MilestoneError:
            pass


def _find_future(store: Storage, table: str, begun: str, until: str, which: str) -> list[Row]:
    columns = ", ".join([*TABLES[table], begun, *([until] if until else [])])
    return store.execute(f"SELECT {columns} FROM {table} WHERE {begun} > :limit AND {which} "
                         f"AND {begun} LIKE '____-__-__ __:__:__%'",  # what is no time is for doctor
                         {"limit": shift_time(store.now(), TOLERANCE)})


def _begin_now(store: Storage, table: str, begun: str, until: str, row: Row) -> None:
    keys = TABLES[table]
    given = {**{key: row[key] for key in keys}, "now": store.now()}
    if until:
        given["until"] = shift_time(store.now(), 60 * minutes_between(row[begun], row[until]))
    store.execute(f"UPDATE {table} SET {begun} = :now" + (f", {until} = :until" if until else "") +
                  " WHERE " + " AND ".join(f"{key} = :{key}" for key in keys), given)
