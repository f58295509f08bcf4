"""Leases on milestones: their holders, and until when. A caller without a name gets a token as its name."""
from __future__ import annotations

import os

from ..base.errors import Refused
from ..base.times import shift_time
from .future import count_from_now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import TakenLease
    from ..base.rows import MilestoneLock
    from ..storage.interface import Storage

OPTION = "--owner"
TOKEN = "lock-"  # so begins the owner of who gave none; no other caller is told


def name_owner(store: Storage, owner: str) -> str:
    """The caller: the given owner, else the agent of the environment; "" if unknown.

    The line that acquire_milestone_lock has printed stands for the token that ends it.
    """
    return owner.rpartition(f" {OPTION} ")[2] or store.environ.get("AGENT_ID") or ""


def make_token() -> str:
    """An unused name."""
    return TOKEN + os.urandom(6).hex()


def take_lease(store: Storage, milestone_id: str, owner: str, ttl: int) -> TakenLease:
    """Take the lease if it is free, expired, or the owner's own; else return the existing lease."""
    given = {"id": milestone_id, "owner": owner, "now": store.now(), "until": shift_time(store.now(), ttl)}
    with store.transaction("milestone:" + milestone_id):
        count_from_now(store, milestone_id)
        rows = store.execute(
            "INSERT INTO milestone_locks (milestone_id, owner, acquired_at, expires_at) "
            "VALUES (:id, :owner, :now, :until) ON CONFLICT (milestone_id) DO UPDATE SET owner = excluded.owner, "
            "acquired_at = excluded.acquired_at, expires_at = excluded.expires_at "
            "WHERE milestone_locks.expires_at <= excluded.acquired_at OR milestone_locks.owner = excluded.owner "
            "RETURNING milestone_id, owner, acquired_at, expires_at", given)
        lease: MilestoneLock = (rows or _read_lease(store, milestone_id))[0]
        return {**lease, "taken": bool(rows)}


def give_back(store: Storage, milestone_id: str, owner: str) -> None:
    """Release the owner's lease; Refused if another holds it."""
    with store.transaction("milestone:" + milestone_id):
        rows = _read_lease(store, milestone_id)
        if not rows:
            raise Refused(f"milestone {milestone_id!r} is not locked: nothing was released")
        if rows[0]["owner"] != owner:
            whose = "you gave no --owner" if not owner else f"you are {owner!r}"
            raise Refused(f"the lock on milestone {milestone_id!r} is held by {_name_holder(rows[0])}, and {whose}: "
                          "nothing was released; it needs the --owner with which it was taken")
        store.execute("DELETE FROM milestone_locks WHERE milestone_id = :id", {"id": milestone_id})


def refuse_locked(store: Storage, milestone_id: str, owner: str) -> None:
    """Refused while someone other than `owner` holds the lease on a milestone."""
    for lease in _read_lease(store, milestone_id):
        if lease["expires_at"] > store.now() and lease["owner"] != owner:
            raise Refused(f"{describe_lease(lease)}: nothing was changed; wait, or give the --owner with which it was "
                          "taken")


def describe_lease(lease: MilestoneLock | TakenLease) -> str:
    """What a lease prevents, as the beginning of an error."""
    return f"milestone {lease['milestone_id']!r} is locked by {_name_holder(lease)} until {lease['expires_at']}"


def _name_holder(lease: MilestoneLock | TakenLease) -> str:
    """The holder of a lease as shown to others: a token is its holder's secret."""
    return "an unnamed caller" if lease["owner"].startswith(TOKEN) else repr(lease["owner"])


def _read_lease(store: Storage, milestone_id: str) -> list[MilestoneLock]:
    return store.execute("SELECT milestone_id, owner, acquired_at, expires_at FROM milestone_locks "
                         "WHERE milestone_id = :id", {"id": milestone_id})
