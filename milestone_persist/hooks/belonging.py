"""Which agents belong to the client's conversation, as far as that is certain.

An agent's row names the session or thread of the client that was in the environment when it registered. Sub-agents of
Codex have a thread of their own; those of Claude Code share the session of their parent; Gemini CLI tells a shell no
session. There the conversation's transcript decides, and where that cannot be read, the agent is nobody's.
"""
from __future__ import annotations

import os

from ..base.vocabulary import AT_WORK, GOING_ON, any_of
from ..coordination.membership import CLIENT_ENDED
from .occasion import END
from .transcripts import find_registered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.rows import Agent
    from ..storage.interface import Storage
    from .occasion import Occasion


MAY_GO_ON = f"(status IN {any_of(GOING_ON)} OR status = 'terminated' AND error_info LIKE :left)"
MOST_HEARD = 200  # of the agents of no client, those heard from last: one that calls now was heard a moment ago
SUB_AGENTS = "subagents"  # the folder in which Claude Code keeps their conversations, beside that of their parent
ORDER = "ORDER BY agent_type = 'unregistered', last_heartbeat DESC, agent_id"  # those only named as a sender come last


def find_own_agents(store: Storage, occasion: Occasion) -> list[Agent]:
    """The agents that belong to the conversation and may continue, the one heard from last first."""
    if not occasion.session:
        return []
    if occasion.sub:
        own = _of_client(store, occasion.sub) or _registered_in(occasion, _of_client(store, occasion.session))
    else:
        own = _of_client(store, occasion.session)
        if occasion.kind != END and _has_sub_agents(occasion):  # at its end theirs end too
            own = _registered_in(occasion, own)
    return own + _registered_in(occasion, _of_no_client(store, occasion))


def _of_client(store: Storage, session: str) -> list[Agent]:
    return store.execute(f"SELECT * FROM agent_registry WHERE client_session = :session AND {MAY_GO_ON} {ORDER}",
                         {"session": session, "left": CLIENT_ENDED + "%"})


def _of_no_client(store: Storage, occasion: Occasion) -> list[Agent]:
    """The agents without a known client session; those ended with their client only for a resumed one."""
    which = MAY_GO_ON if occasion.continues else f"status IN {any_of(AT_WORK)}"
    return store.execute(f"SELECT * FROM agent_registry WHERE client_session IS NULL AND {which} "
                         f"ORDER BY last_heartbeat DESC LIMIT {MOST_HEARD}", {"left": CLIENT_ENDED + "%"})


def _registered_in(occasion: Occasion, agents: list[Agent]) -> list[Agent]:
    """The agents that the conversation has registered."""
    if not agents or not occasion.transcript or not _is_its_own(occasion):
        return []
    found = find_registered(occasion.transcript, {agent["agent_id"] for agent in agents})
    return [agent for agent in agents if agent["agent_id"] in (found or ())]


def _is_its_own(occasion: Occasion) -> bool:
    """Whether a transcript has only its own conversation: Codex starts a sub-agent's with a copy of its parent's."""
    return not occasion.sub or os.path.basename(os.path.dirname(occasion.transcript)) == SUB_AGENTS


def _has_sub_agents(occasion: Occasion) -> bool:
    """Whether Claude Code keeps conversations of sub-agents beside this one, whose agents have its session."""
    return os.path.isdir(os.path.join(os.path.splitext(occasion.transcript)[0], SUB_AGENTS))
