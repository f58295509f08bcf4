"""Overview: everything at a glance, what needs attention first."""
from __future__ import annotations

from ..base.errors import UsageError
from ..coordination.future import look_from_now
from ..coordination.overview import list_agents, list_attention, list_inboxes, list_sessions
from ..registry import operation
from .log import list_coordination_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Overview
    from ..storage.interface import Storage

GROUP = "Looking"
EVENTS = 8  # the latest, that are shown


@operation(text="overview", screen="overview_screen", shell=False, creates=False)
def status(store: Storage, session_id: str | None = None, *, watch: bool = False) -> Overview:
    """Show everything at a glance: what needs attention and the command for it, sessions, agents, inboxes, events.

    session_id: only this session; without it, the open ones and the latest ended ones
    watch: show it live on a terminal until q is pressed

    Example: status
    """
    if watch:
        raise UsageError("--watch needs a terminal: list_coordination_events --follow prints each event as a line")
    look_from_now(store)
    with store.snapshot():
        sessions, agents = list_sessions(store, session_id), list_agents(store, session_id)
        inboxes = list_inboxes(store, session_id)
        about = store.describe()
        return {"now": store.now(), "directory": store.directory, "backend": about["backend"],
                "database": about["database"], "exists": about["exists"],
                "attention": list_attention(store, sessions, agents, inboxes),
                "sessions": sessions, "agents": agents, "inboxes": inboxes,
                "events": list_coordination_events(store, session=session_id or "", limit=EVENTS)}
