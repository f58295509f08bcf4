"""`status` drawn on a terminal, in the available width and height."""
from __future__ import annotations

from ...base.invocation import call_of
from ...base.quoting import command, quote
from ...base.times import tell_age
from ...base.values import tell_count
from .cells import cut, fill, width_of
from .forms import plain
from .overview import tell_mail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.interface import Row
    from .cells import Line

MARKS = {"active": ("green", "●"), "spawning": ("cyan", "○"), "paused": ("blue", "‖"), "silent": ("yellow", "◐"),
         "failed": ("alarm", "✕"), "terminated": ("dim", "×"), "completed": ("dim", "✓"), "abandoned": ("dim", "×")}
UNKNOWN = ("", "?")  # a status of a database that others have written
MAIL = {"waiting": "", "taken": "", "dead": "alarm"}
ENDED = ("completed", "terminated")
BLANK: Line = [("", "")]
ROOMY, WIDE = 60, 84  # columns from which there is room for inboxes, and for what an agent works on


def overview_screen(data: Row, width: int, height: int | None = None) -> list[Line]:
    """The lines; at most `height`, omitting the least urgent."""
    if not data["exists"]:
        return [[("bold", plain(data["directory"])), ("dim", "  not made yet")]]
    top = [*_head(data, width), BLANK, *_attention(data, width), BLANK, *_sessions(data, width), BLANK]
    agents, inboxes, events = _agents(data, width), _other_inboxes(data), _events(data, width)
    if height is not None:
        room = height - len(top) - len(inboxes)
        events = events[:1] + events[1:][-max(2, room - len(agents) - 2):] if events else events
        agents = _shorten(agents, data, room - len(events) - 1)
    lines = [*top, *agents, *inboxes, *([BLANK, *events] if events else [])]
    return lines if height is None else lines[:height]


def _head(data: Row, width: int) -> list[Line]:
    time, name = data["now"][11:19], f"{data['backend']}  "
    return [[("bold", name), ("dim", fill(plain(data["database"]), max(0, width - len(name) - len(time) - 2))),
             ("dim", "  " + time)]]


def _attention(data: Row, width: int) -> list[Line]:
    lines: list[Line] = []
    for row in data["attention"]:
        what, run = plain(row["what"]), plain(call_of(row["command"]))
        if width_of(what) + width_of(run) + 4 <= width:
            lines.append([("alarm", "! "), ("", what + "  "), ("cyan", run)])
        else:
            lines += [[("alarm", "! "), ("", what)], *_command(row["command"], width)]
    return lines or [[("green", "✓ "), ("", "nothing needs attention" if data["sessions"] else "no sessions yet")]]


def _command(words: Sequence[str], width: int) -> list[Line]:
    """A command in the lines that it needs, each but the last with a backslash at its end, as a shell takes them."""
    way = call_of(words)[:-len(command(words))].rstrip()
    lines = [way] if way else []
    for word in map(quote, words):
        if lines and width_of(f"  {lines[-1]} {word} \\") <= width:
            lines[-1] += " " + word
        else:
            lines.append("  " * bool(lines) + word)
    return [[("", "  "), ("cyan", plain(line) + " \\" * (place < len(lines) - 1))] for place, line in enumerate(lines)]


def _sessions(data: Row, width: int) -> list[Line]:
    rows = data["sessions"]
    if not rows:
        return []
    bar = 20 if width >= 72 else 8 if width >= 48 else 0
    name = min(max(width_of(plain(row["session_id"])) for row in rows), max(12, width - bar - 38))
    lines: list[Line] = [[("head", "SESSIONS")]]
    for row in rows:
        style, mark = MARKS.get(row["status"], UNKNOWN)
        done = round(bar * min(max(row["progress"], 0), 100) / 100)
        lines.append([(style, mark + " "), ("bold", fill(plain(row["session_id"]), name)), ("", "  "),
                      ("green", "█" * done), ("dim", "░" * (bar - done)), ("", fill(f"{row['progress']:g} %", 6, True)),
                      ("", "  " + fill(row["phase"] or row["operation_type"], 10)),
                      ("dim", f"{row['alive']}/{row['agents']} alive")])
    return lines


def _agents(data: Row, width: int) -> list[Line]:
    rows = data["agents"]
    if not rows:
        return []
    mail = {inbox["agent_id"]: inbox for inbox in data["inboxes"]}
    words = MAIL if width >= ROOMY else ()
    name = min(max(width_of(plain(row["agent_id"])) for row in rows), max(10, width - 22 - 20 * bool(words)))
    head = fill("AGENTS", name + 2) + "  " + fill("status", 10) + fill("heard", 7, True)
    inbox = "".join("  " + word for word in words)
    return [[("head", head + inbox + ("   working on" if width >= WIDE else ""))],
            *(_agent(row, mail.get(row["agent_id"]), name, width) for row in rows)]


def _agent(row: Row, inbox: Row | None, name: int, width: int) -> Line:
    word = "silent" if row["silent"] else row["status"]
    style, mark = MARKS.get(word, UNKNOWN)
    quiet = "dim" if row["status"] in ENDED else ""
    line = [(style, mark + " "), (quiet, fill(plain(row["agent_id"]), name)), ("", "  "),
            (style if style != "green" else "", fill(word, 10)),
            (quiet, fill(tell_age(row["minutes_since_heartbeat"]), 7, True)), *(_mail(inbox) if width >= ROOMY else [])]
    if width >= WIDE and row["status"] not in ENDED:
        line += [("", "   "), (quiet, plain(row["error_info"] or row["current_task"] or ""))]
    return line


def _mail(inbox: Row | None) -> Line:
    """The numbers of an inbox, each below its word."""
    numbers = [(style, len(word) + 2, tell_count(inbox, word) if inbox and inbox[word] else "")
               for word, style in MAIL.items()]
    return [(style if number else "dim", fill(number or "·", width, True)) for style, width, number in numbers]


def _shorten(agents: list[Line], data: Row, room: int) -> list[Line]:
    """The agents in so many lines: ended ones are only counted, then the last ones."""
    if len(agents) <= room or not agents:
        return agents
    going = [(line, row) for line, row in zip(agents[1:], data["agents"]) if row["status"] not in ENDED]
    ended = len(agents) - 1 - len(going)
    going.sort(key=lambda pair: not (pair[1]["silent"] or pair[1]["status"] == "failed"))
    shown = going if len(going) + 1 + bool(ended) <= room else going[:max(1, room - 2)]
    hidden = len(going) - len(shown)
    rest = [f"{hidden} more" if hidden else "", f"{ended} have ended" if ended else ""]
    return [agents[0], *(line for line, _ in shown), [("dim", "  " + ", ".join(text for text in rest if text))]]


def _other_inboxes(data: Row) -> list[Line]:
    """Inboxes of ids that are not agents of the sessions shown."""
    known = {agent["agent_id"] for agent in data["agents"]}
    return [[("dim", "  inbox of "), ("", f"{plain(inbox['agent_id'])}: {tell_mail(inbox)}")]
            for inbox in data["inboxes"] if inbox["agent_id"] not in known][:4]


def _events(data: Row, width: int) -> list[Line]:
    rows: Sequence[Row] = data["events"]
    if not rows:
        return []
    name = min(24, max(width_of(plain(row["event"])) for row in rows))
    agent = min(24, max(width_of(plain(row["agent_id"] or "")) for row in rows))
    lines: list[Line] = [[("head", "EVENTS")]]
    for row in rows:
        who = fill(plain(row["event"]), name) + "  " + fill(plain(row["agent_id"] or ""), agent) + "  "
        lines.append([("dim", row["timestamp"][11:19] + "  "), ("", who), ("dim", cut(plain(row["detail"]), width))])
    return lines
