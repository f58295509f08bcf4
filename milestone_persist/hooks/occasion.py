"""A hook event: what the client says about its conversation, as JSON."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.values import parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEGIN, STOP, LEAVE, END, CUT = "begin", "stop", "leave", "end", "cut"
# The events of Claude Code and Codex, then those that Gemini calls otherwise; "" for those on which nothing is done.
EVENTS = {"SessionStart": BEGIN, "Stop": STOP, "SubagentStop": LEAVE, "SessionEnd": END, "PreCompact": CUT,
          "AfterAgent": STOP, "PreCompress": CUT, "BeforeAgent": ""}
GOES_ON = ("resume", "compact")  # sources of a SessionStart that continue a conversation


class Occasion:
    """One event in a client's conversation with its agent.

    event: its name, as the client has it; kind: one of BEGIN, STOP, LEAVE (a sub-agent stops), END, CUT
    session: the client's session or thread; sub: the id of the sub-agent that it happens to; "" if it is the main one
    transcript: path of the file in which the client keeps that conversation; "" if that is not known
    continues: whether a conversation goes on of which the agent may know only a part
    is_vague: whether it may come before every call of the model, and not only when the conversation is cut (Gemini CLI)
    is_repeated: whether the agent is only there because a hook has sent it back
    reason: why, as the client says
    """

    __slots__ = ("event", "kind", "session", "sub", "transcript", "continues", "is_repeated", "is_vague",
                 "reason")

    def __init__(self, event: str, told: dict[str, Any]) -> None:
        if event not in EVENTS:
            raise UsageError(f"unknown event {event!r}: it is one of {', '.join(EVENTS)}")
        self.event, self.kind = event, EVENTS[event]
        self.session, self.sub = _text(told, "session_id"), _text(told, "agent_id")
        self.transcript = _text(told, "agent_transcript_path" if self.sub else "transcript_path")
        self.continues = _text(told, "source") in GOES_ON
        self.is_vague = event == "PreCompress"
        self.is_repeated = bool(told.get("stop_hook_active"))
        self.reason = _text(told, "reason") or _text(told, "trigger")


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


def read_occasion(event: str, payload: str) -> Occasion:
    """An event from its name and the client's JSON ("" or "-": none); UsageError if invalid."""
    try:
        told = parse_json(payload) if payload.strip() not in ("", "-") else {}
    except ValueError as error:
        raise UsageError(f"what the client says is not JSON: {error}") from None
    if not isinstance(told, dict):
        raise UsageError("what the client says is not a JSON object")
    return Occasion(event, told)
