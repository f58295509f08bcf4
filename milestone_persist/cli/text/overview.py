"""The text of `status` for a model and for pipes: at most 40 lines, what needs attention first."""
from __future__ import annotations

from ...base.invocation import call_of
from ...base.quoting import command
from ...base.times import tell_age
from ...base.values import tell_count
from .forms import event_line, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...storage.interface import Row

MOST = {"attention": 5, "sessions": 5, "agents": 13, "inboxes": 3, "events": 3}  # lines of each


def overview(data: Row) -> str:
    """Together at most 40 lines; the last one is the command to run next, if there is one."""
    if not data["exists"]:
        return f"{plain(data['directory'])} (not made yet)\n"
    mail = {inbox["agent_id"]: inbox for inbox in data["inboxes"]}
    known = {agent["agent_id"] for agent in data["agents"]}
    lines = [f"{data['backend']} {plain(data['database'])}"]
    lines += _first("attention", [f"attention: {plain(row['what'])}: {plain(command(row['command']))}"
                                  for row in data["attention"]])
    lines += _sessions(data, mail) or ["no sessions"]
    watched = [plain(agent["agent_id"]) for agent in data["agents"] if agent["watched"]]
    if watched:
        lines.append(f"watched {len(watched)}: {' '.join(watched[:8])}" + " …" * (len(watched) > 8))
    lines += _first("inboxes", [f"inbox of {plain(name)}: {tell_mail(inbox)}" for name, inbox in mail.items()
                                if name not in known])
    lines += [event_line({**row, "detail": row["detail"][:60]})[11:] for row in data["events"][-MOST["events"]:]]
    lines += [f"next: {plain(call_of(row['command']))}" for row in data["attention"][:1]]
    return "\n".join(lines) + "\n"


def dashboard_ended(data: Row) -> str:
    return ""


def _first(what: str, lines: list[str]) -> list[str]:
    rest = len(lines) - MOST[what]
    return lines if rest <= 0 else [*lines[:MOST[what]], f"and {rest} more {what}: --json shows all"]


def _sessions(data: Row, mail: dict[str, Row]) -> list[str]:
    lines, left, hidden = [], MOST["agents"], 0
    for place, row in enumerate(data["sessions"][:MOST["sessions"]]):
        phase = f", {plain(row['phase'])}" if row["phase"] else ""
        lines.append(f"{plain(row['session_id'])} ({plain(row['milestone_id'])}): {plain(row['status'])}{phase}, "
                     f"{row['progress']:g} %, {row['alive']} of {row['agents']} agents alive")
        own = [agent for agent in data["agents"] if agent["session_id"] == row["session_id"]]
        told = [agent for agent in own if _is_notable(agent, mail)]
        lines += ["  " + _agent(agent, mail) for agent in told[:left]]
        hidden, left = hidden + len(told[left:]), max(0, left - len(told))
        if place < 4:
            lines += [line for line in [_others([agent for agent in own if not _is_notable(agent, mail)])] if line]
    rest = len(data["sessions"]) - MOST["sessions"]
    return [*lines, *([f"and {hidden} more agents: --json shows all"] if hidden else []),
            *([f"and {rest} more sessions: list_coordination_sessions"] if rest > 0 else [])]


def _is_notable(agent: Row, mail: dict[str, Row]) -> bool:
    return agent["silent"] or agent["status"] not in ("active", "completed", "terminated") or agent["agent_id"] in mail


def _agent(agent: Row, mail: dict[str, Row]) -> str:
    inbox = mail.get(agent["agent_id"])
    parts = [f"{plain(agent['agent_id'])} {'silent' if agent['silent'] else plain(agent['status'])} "
             f"{tell_age(agent['minutes_since_heartbeat'])}", *([tell_mail(inbox)] if inbox else []),
             *([plain(agent["error_info"][:60])] if agent["status"] == "failed" and agent["error_info"] else [])]
    return ", ".join(parts)


def _others(agents: Iterable[Row]) -> str:
    """The agents with nothing but a status to report, in one line."""
    groups: dict[str, list[str]] = {}
    for agent in agents:
        groups.setdefault(plain(agent["status"]), []).append(plain(agent["agent_id"]))
    shown = [f"{status} {len(names)}: {' '.join(names[:8])}" + " …" * (len(names) > 8)
             for status, names in groups.items()]
    return "  " + "; ".join(shown) if shown else ""


def tell_mail(inbox: Row) -> str:
    return ", ".join(f"{tell_count(inbox, word)} {word}" for word in ("waiting", "taken", "dead") if inbox[word])
