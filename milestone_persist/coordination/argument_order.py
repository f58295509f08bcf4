"""Detects swapped arguments: refused only if each is clearly what the other should be."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.quoting import command
from ..base.values import is_json, is_own
from ..base.vocabulary import AGENT_TYPES, MESSAGE_TYPES, OPERATION_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..storage.interface import Storage


def _refuse(operation: str, words: Mapping[str, str], first: str, second: str) -> None:
    """UsageError that names the two and shows the call with them in the right order."""
    right = {**words, first: words[second], second: words[first]}
    raise UsageError(f"{first} and {second} are swapped: "
                     f"{command([operation, *(word for word in right.values() if word)])}")


def require_registration_in_order(store: Storage, agent_id: str, agent_type: str, milestone_id: str,
                                  session_id: str) -> None:
    """UsageError if id and type, or milestone and session, are swapped."""
    words = {"AGENT_ID": agent_id, "AGENT_TYPE": agent_type, "MILESTONE_ID": milestone_id, "SESSION_ID": session_id}
    if agent_id in AGENT_TYPES and not _is_type(agent_type):
        _refuse("register_agent", words, "AGENT_ID", "AGENT_TYPE")
    if not _is_type(agent_type):
        for name in ("MILESTONE_ID", "SESSION_ID"):
            if words[name] in AGENT_TYPES:
                raise UsageError(f"{words[name]!r} is an AGENT_TYPE, but stands where {name} belongs: "
                                 f"register_agent AGENT_ID {words[name]} MILESTONE_ID SESSION_ID")
    if session_id.startswith("[") and is_json(session_id):
        raise UsageError("CAPABILITIES stand where SESSION_ID belongs: " + command(
            ["register_agent", agent_id, agent_type, milestone_id, store.environ.get("SESSION_ID") or "SESSION_ID",
             session_id]))
    if _are_swapped(store, milestone_id, session_id):
        _refuse("register_agent", words, "MILESTONE_ID", "SESSION_ID")


def _is_type(word: str) -> bool:
    return word in AGENT_TYPES or is_own(word)


def _are_swapped(store: Storage, milestone_id: str, session_id: str) -> bool:
    """Whether the milestone is named like a session, the session is not, and one of them exists as the other kind.

    A milestone may be called `planning-tool`, and a session anything: such ids alone say nothing.
    """
    if not _looks_like_session(milestone_id) or _looks_like_session(session_id):
        return False
    given = {"milestone": milestone_id, "session": session_id}
    known = store.execute(
        "SELECT 'milestone' AS what, id FROM milestones WHERE id IN (:milestone, :session) UNION ALL "
        "SELECT 'session', session_id FROM coordination_sessions WHERE session_id IN (:milestone, :session)", given)
    there = {(row["what"], row["id"]) for row in known}
    if ("milestone", milestone_id) in there or ("session", session_id) in there:
        return False
    return (("session", milestone_id) in there or ("milestone", session_id) in there
            or f"-{session_id}-" in milestone_id + "-"
            or session_id.lower().startswith(("ms-", "milestone-")))


def _looks_like_session(word: str) -> bool:
    kind, _, rest = word.partition("-")
    return kind in OPERATION_TYPES and bool(rest)


def is_message_type(word: str) -> bool:
    """Whether a word is the type of a message, a known one or the caller's own."""
    return word in MESSAGE_TYPES or is_own(word)


def require_message_in_order(operation: str, words: Mapping[str, str]) -> None:
    """UsageError where MESSAGE_TYPE, which is none, is swapped with the id beside it or the payload.

    words: FROM_AGENT, TO_AGENT (where the operation has one), MESSAGE_TYPE, PAYLOAD
    """
    others = ("TO_AGENT", "PAYLOAD") if "TO_AGENT" in words else ("FROM_AGENT", "PAYLOAD")
    for name in others:
        if words[name] in MESSAGE_TYPES and (name == "PAYLOAD") == words["MESSAGE_TYPE"].startswith("{"):
            _refuse(operation, words, name, "MESSAGE_TYPE")
    kind = words["FROM_AGENT"]
    if "TO_AGENT" in words and kind in MESSAGE_TYPES:
        raise UsageError(f"{kind!r} is a MESSAGE_TYPE, but stands where FROM_AGENT belongs: "
                         f"{operation} FROM_AGENT TO_AGENT {command([kind, words['PAYLOAD']])}")


def require_event_in_order(store: Storage, event: str, milestone_id: str, detail: str) -> None:
    """UsageError where EVENT is a milestone that is known, and MILESTONE_ID none."""
    if not milestone_id:
        return
    known = store.execute("SELECT id FROM milestones WHERE id IN (:event, :milestone)",
                          {"event": event, "milestone": milestone_id})
    if [row["id"] for row in known] == [event] != [milestone_id]:
        _refuse("log_milestone_event", {"EVENT": event, "MILESTONE_ID": milestone_id, "DETAIL": detail},
                "EVENT", "MILESTONE_ID")
