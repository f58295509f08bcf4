"""The text of a briefing: at most BUDGET bytes, with the command to run next as its last line."""
from __future__ import annotations

from .forms import count, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...base.answers import Briefing, Heading, Notice

BUDGET = 2400  # bytes: about 700 tokens
LONGEST_NAME, LONGEST_COMMAND = 48, 1200
MOST_NAMED = 5


def briefing(data: Briefing) -> str:
    """The lines that fit, the most important first; always including the last one."""
    lines, last = _lines(data), _last(data)
    room = BUDGET - _size(last)
    kept = []
    for line in lines:
        room -= _size(line)
        if room < 0:
            break
        kept.append(line)
    return "".join(line + "\n" for line in [*kept, *([last] if last and (kept or data["next"]) else [])])


def _size(line: str) -> int:
    return len(line.encode()) + 1


def _lines(data: Briefing) -> list[str]:
    agent = data["agent"]
    lines = _tell_agent(data, agent) if agent else _tell_project(data)
    others = [session for session in data["interrupted"] if not agent or session != agent["session_id"]]
    if others:
        lines.append(f"Interrupted sessions: {_names(others)}.")
    return lines


def _last(data: Briefing) -> str:
    following = data["next"]
    if len(following.encode()) > LONGEST_COMMAND:  # ids that nobody can read
        following = "list_coordination_sessions active"
    return f"Next: {following}" if following else ""


def _tell_agent(data: Briefing, agent: Heading) -> list[str]:
    session = data["session"]
    assert session
    begin = "Continue where you were: your conversation may have been cut, your work is kept. " * data["continues"]
    where = f"session {_name(agent['session_id'])} ({plain(session['status'])}, {plain(session['progress'])} %" + (
        f", phase {plain(session['phase'])})" if session["phase"] else ")")
    milestone = f"milestone {_name(agent['milestone_id'])}, " if agent["milestone_id"] else ""
    lines = [f"{begin}You are agent {_name(agent['agent_id'])} ({_name(agent['agent_type'])}, "
             f"{plain(agent['status'])}): {milestone}{where}."]
    if data["taken"]:
        lines.append(f"Taken and not acknowledged: {list_messages(data['taken'])}.")
    if data["unread_count"]:
        lines.append(f"{count(data['unread_count'], 'unread message')}: "
                     + list_messages(data["unread"], data["unread_count"]) + ".")
    if data["changed"]:
        keys = [f"{_name(row['state_key'])} of {_name(row['agent_id'])}" for row in data["changed"]]
        lines.append(f"Saved by others since you were last told: {_list(keys, data['changed_count'])}.")
    point = data["last_checkpoint"]
    kept = f"{count(data['own_keys'], 'key')} saved by you" if data["own_keys"] else ""
    checkpoint = (f"last checkpoint {plain(point['checkpoint_id'])}, {plain(point['minutes_ago'])} min ago"
                  if point else "")
    if kept or checkpoint:
        lines.append("; ".join(part for part in (kept, checkpoint) if part) + ".")
    if data["others"]:
        told = [f"{_name(other['agent_id'])} ({plain(other['status'])}, {other['unread']} unread"
                + (f", {other['taken']} taken)" if other["taken"] else ")") for other in data["others"]]
        lines.append(f"Also yours: {_list(told, len(told))}.")
    return lines


def _tell_project(data: Briefing) -> list[str]:
    if not data["open_sessions"]:
        return ["No session is open here."]
    told = [f"{_name(row['session_id'])} ({plain(row['status'])}, {plain(row['progress'])} %, "
            f"{count(row['agent_count'], 'agent')})" for row in data["open_sessions"][:MOST_NAMED]]
    more = " and more" if len(data["open_sessions"]) > len(told) else ""
    return [f"Agents are coordinated here by milestone_persist. Open sessions: {', '.join(told)}{more}."]


def list_messages(rows: Sequence[Notice], number: int = 0) -> str:
    """Messages by number, type and sender; number: how many there are, if more than those."""
    told = [f"{row['id']} {_name(row['message_type'])} from {_name(row['from_agent'])}" + (
        f" (priority {row['priority']})" if row["priority"] != 5 else "") for row in rows]
    return _list(told, max(number, len(told)))


def _names(names: Sequence[str]) -> str:
    return _list([_name(name) for name in names], len(names))


def _list(parts: Sequence[str], number: int) -> str:
    """A list of parts; how many there are besides those shown."""
    shown = parts[:MOST_NAMED]
    return ", ".join(shown) + (f" and {number - len(shown)} more" if number > len(shown) else "")


def _name(name: str) -> str:
    """A user-chosen name, on one line and not too long."""
    text = plain(name)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME // 2]}…{text[1 - LONGEST_NAME // 2:]}"
