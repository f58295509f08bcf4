"""What is done for each hook event, and the answer in the form that the client reads."""
from __future__ import annotations

from ..base.quoting import command_on
from ..base.times import shift_time
from ..base.vocabulary import AT_WORK, GOING_ON
from ..cli.text.briefing import briefing, list_messages
from ..cli.text.forms import count
from ..coordination.briefing import MOST_LISTED, brief_agents, find_agents, note_briefed
from ..coordination.inbox import list_unread, sum_unread
from ..coordination.lives import set_agent_status
from ..coordination.membership import CLIENT_ENDED
from ..coordination.message_states import RINGS
from ..coordination.settings import read_count
from ..coordination.snapshots import store_checkpoint
from .belonging import find_own_agents
from .occasion import BEGIN, CUT, END, LEAVE, STOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base.answers import HookAnswer
    from ..base.rows import Agent
    from ..storage.interface import Storage
    from .occasion import Occasion

HURRY_SECONDS = 2.0  # how long a hook waits for another process: its client waits for it


def answer(store: Storage, occasion: Occasion) -> HookAnswer:
    """Handle the event."""
    with store.hurry(HURRY_SECONDS):
        return ACTIONS[occasion.kind](store, occasion)


def _begin(store: Storage, occasion: Occasion) -> HookAnswer:
    """Brief the agents of the conversation; a new conversation on the project, if there is any activity."""
    agents = find_own_agents(store, occasion) or find_agents(store, [store.environ.get("AGENT_ID", "")])
    told = brief_agents(store, agents, occasion.continues)
    if not agents and not told["open_sessions"]:
        return {}
    note_briefed(store, agents)
    return {"hookSpecificOutput": {"hookEventName": occasion.event, "additionalContext": briefing(told).rstrip("\n")}}


def _stop(store: Storage, occasion: Occasion) -> HookAnswer:
    """Send the agents of the conversation back to unread messages, once for each message."""
    if occasion.is_repeated:
        return {}
    reasons = [_call_back(store, agent) for agent in _at_work(store, occasion)]
    told = [reason for reason in reasons if reason]
    return {"decision": "block", "reason": " ".join(told)} if told else {}


def _at_work(store: Storage, occasion: Occasion) -> list[Agent]:
    """The agents of the conversation that have not ended, and the one the client was started for."""
    own = find_own_agents(store, occasion)
    if not own and not occasion.sub:
        own = [agent for agent in find_agents(store, [store.environ.get("AGENT_ID", "")])
               if agent["client_session"] in (None, occasion.session)]
    return [agent for agent in own if agent["status"] in GOING_ON]


def _call_back(store: Storage, agent: Agent) -> str:
    """The line for an agent with messages for which it was not sent back yet, and record it; "" if there are none."""
    agent_id = agent["agent_id"]
    newest = max((message["id"] for message in list_unread(store, agent_id, 1, RINGS, newest_first=True)), default=0)
    if newest <= agent["rung_message"]:
        return ""
    with store.transaction("agent:" + agent_id):
        noted = store.execute(
            "UPDATE agent_registry SET rung_message = :newest WHERE agent_id = :id AND rung_message < :newest "
            "RETURNING agent_id", {"id": agent_id, "newest": newest})
    if not noted:  # another call of the same hook was first
        return ""
    number = sum_unread(store, agent_id, RINGS)["number"]
    first = list_messages(list_unread(store, agent_id, MOST_LISTED, RINGS), number)
    return (f"Agent {agent_id} has {count(number, 'unread message')} ({first}). Read and handle before you stop: "
            + command_on("get_agent_messages", [agent_id, "true"]))


def _leave(store: Storage, occasion: Occasion) -> HookAnswer:
    """A sub-agent stops: send it back to its messages, or end it; one that the client does not name is unknown."""
    return (_stop(store, occasion) or _end(store, occasion)) if occasion.sub else {}


def _end(store: Storage, occasion: Occasion) -> HookAnswer:
    """End the agents that are still working and requeue their taken messages. A status set by the agent is kept.

    With a sub-agent only those that registered end: from any other inbox those beside it may take, too.
    """
    for agent in find_own_agents(store, occasion):
        if agent["status"] in AT_WORK and not (occasion.kind == LEAVE and agent["agent_type"] == "unregistered"):
            with store.transaction("agent:" + agent["agent_id"]):
                why = f"{CLIENT_ENDED}: {occasion.event}" + (f" ({occasion.reason})" if occasion.reason else "")
                set_agent_status(store, agent["agent_id"], "terminated", why)
    return {}


def _cut(store: Storage, occasion: Occasion) -> HookAnswer:
    """Make a checkpoint of each agent; if the client may not really compact, only when one is due."""
    for agent in _at_work(store, occasion):
        with store.transaction("agent:" + agent["agent_id"]):
            if not occasion.is_vague or _is_due(store, agent):
                store_checkpoint(store, agent["agent_id"], "automatic", [])
    return {}


def _is_due(store: Storage, agent: Agent) -> bool:
    """Whether an agent was heard from since its last checkpoint, and that is not too recent."""
    given = {"id": agent["agent_id"]}
    last = store.execute("SELECT max(created_at) AS at FROM agent_checkpoints WHERE agent_id = :id", given)[0]["at"]
    if last is None:
        return True
    since = shift_time(store.now(), -read_count(store, "checkpoint_interval"))
    return bool(last <= since and agent["last_heartbeat"] > last)


ACTIONS: dict[str, Callable[[Storage, Occasion], HookAnswer]] = {
    BEGIN: _begin, STOP: _stop, LEAVE: _leave, END: _end, CUT: _cut}
