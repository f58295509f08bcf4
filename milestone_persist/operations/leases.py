"""Milestones: leases on them."""
from __future__ import annotations

from ..base.errors import Refused
from ..base.values import check_range
from ..coordination.leases import describe_lease, give_back, make_token, name_owner, take_lease
from ..coordination.waiting import Changes
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Lease, ReleasedLease
    from ..storage.interface import Storage

GROUP = "Milestones"


@operation(text="lock")
def acquire_milestone_lock(store: Storage, milestone_id: str, *, owner: str = "", ttl: int = 300,
                           wait: float = 30) -> Lease:
    """Take or renew the lease on a milestone; status 1 if another owner holds it.

    milestone_id: the milestone
    owner: the holder; without it $AGENT_ID; without that a new token, which is printed and needed for releasing
    ttl: seconds after which the lease expires
    wait: seconds to wait for another owner

    Example: acquire_milestone_lock ms-123 --owner exec-ms-123
    """
    check_range(ttl, 1, 86400, "--ttl")
    check_range(wait, 0, 86400, "--wait")
    name = name_owner(store, owner)
    until, changes = store.clock.monotonic() + wait, Changes(store)
    while True:
        lease = take_lease(store, milestone_id, name or make_token(), ttl)
        if lease["taken"]:
            return {**lease, "token": not name}
        if store.clock.monotonic() >= until:
            raise Refused(f"{describe_lease(lease)}: try again later")
        changes.wait(until)


@operation(text="nothing", existing=True)
def release_milestone_lock(store: Storage, milestone_id: str, *, owner: str = "") -> ReleasedLease:
    """Release the lease on a milestone; status 1 if it is not the owner's.

    milestone_id: the milestone
    owner: the holder, or the token that acquire_milestone_lock printed; without it $AGENT_ID

    Example: release_milestone_lock ms-123 --owner exec-ms-123
    """
    name = name_owner(store, owner)
    give_back(store, milestone_id, name)
    return {"milestone_id": milestone_id, "owner": name}
