"""Hooks: what an agent is told when it starts or continues."""
from __future__ import annotations

from ..coordination.briefing import brief_agents, find_agents, note_briefed
from ..coordination.membership import find_agent, is_own
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Briefing
    from ..storage.interface import Storage

GROUP = "Hooks"


@operation(text="briefing", creates=False)
def briefing(store: Storage, agent_id: str = "") -> Briefing:
    """Print what an agent must know, in at most 2,400 bytes; its last line is the command to run next.

    agent_id: the agent; without it $AGENT_ID; without that, the project is described

    Who it is, its session, messages taken and unread (never what they say), keys that others have saved since the last
    briefing, its last checkpoint, interrupted sessions.
    Example: briefing exec-ms-123
    """
    wanted = agent_id or store.environ.get("AGENT_ID", "")
    agents = [find_agent(store, agent_id)] if agent_id else find_agents(store, [wanted])
    told = brief_agents(store, agents)
    if agents and is_own(store, wanted):
        note_briefed(store, agents)
    return told
