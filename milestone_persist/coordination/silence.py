"""Silent agents, found by the calls of others: what a session monitor does, if none is running."""
from __future__ import annotations

from ..base.times import shift_time
from ..base.vocabulary import AT_WORK, any_of
from .settings import read_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage


def end_silent_agents(store: Storage, caller: str) -> None:
    """Do the monitor's work in ordinary calls of agents: mark silent agents failed, and say so.

    The first call that finds a silence only notes it in the health log; it is marked by a call at least
    `health_check_interval` later. So when the machine has slept, agents have that long to be heard from.

    caller: the agent that makes the call, and so is alive
    """
    if store.has_looked():
        return
    timeout = read_count(store, "session_timeout")
    silent = _find_unheard(store, timeout, caller)
    if not silent:
        return
    from .liveness import heard_before, log_health, mark_stale_agents, sum_up

    with store.transaction("agents"):
        due = heard_before(store, read_count(store, "health_check_interval"))
        silent = _find_unheard(store, timeout, caller)
        for row in silent:
            if row["noted_at"] is None:
                log_health(store, row["agent_id"], "unresponsive")
        noted = [row["agent_id"] for row in silent if row["noted_at"] is not None and row["noted_at"] <= due]
        ended = mark_stale_agents(store, timeout, only=noted) if noted else []
    if ended:
        done = sum_up(ended)
        store.tell_done(f"silent for more than {timeout // 60} min, and marked failed: "
                        f"{', '.join(done['marked_failed'])} (messages requeued: {done['returned']}); "
                        "detect_interrupted_sessions tells what to do")


def _find_unheard(store: Storage, seconds: int, caller: str) -> list[Row]:
    """Agents that should be working but have been silent for so long; and when a call has noted this silence."""
    return store.execute(
        "SELECT agent_id, (SELECT min(h.timestamp) FROM agent_health_log h WHERE h.agent_id = a.agent_id "
        "AND h.health_status = 'unresponsive' AND h.timestamp > a.last_heartbeat) AS noted_at FROM agent_registry a "
        f"WHERE status IN {any_of(AT_WORK)} AND last_heartbeat <= :limit AND agent_id <> :caller "
        "ORDER BY last_heartbeat, agent_id",  # in the order of the index; by the id alone, all agents would be read
        {"limit": shift_time(store.now(), -seconds), "caller": caller})
