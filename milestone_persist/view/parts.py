"""The parts of a page that are markup and change with the session: its head, its timeline, its agents."""
from __future__ import annotations

from ..base.invocation import call_of
from ..base.times import minutes_between, since
from ..base.values import tell_count
from ..base.vocabulary import PHASES
from .markup import Markup, element, empty
from .timeline import Timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..storage.interface import Row

ARROWS = (("task_assignment", "task"), ("completion_notification", "done"), ("error_report", "error"),
          ("", "other message"))
MARKS = (("span s-active", "at work"), ("span s-silent", "silent"), ("span s-paused", "paused"),
         ("tick", "events above, heartbeats below"))


def make_parts(data: Row) -> dict[str, Markup]:
    """The parts of the page that change with the session: head, timeline and agents."""
    return {"head": _head(data), "timeline": _figure(data), "agents": _agents(data)}


def _head(data: Row) -> Markup:
    session = data["session"]
    unread, dead = (_sum_inboxes(data, words) for words in (("waiting", "taken"), ("dead",)))
    alive = sum(agent["status"] in ("active", "spawning") and agent["last_heartbeat"] > data["silent_after"]
                for agent in data["agents"])
    facts: list[tuple[str, int | str, str]] = [
        ("agents", len(data["agents"]), f"{alive} alive"),
        ("messages", data["totals"]["messages"], f"{unread} unread" + (f", {dead} dead" if dead != "0" else "")),
        ("checkpoints", data["totals"]["checkpoints"], ""), ("events", data["totals"]["events"], ""),
        ("duration", since(data["begin"], data["end"]), f"{data['begin'][:16]} to {data['end'][11:16]} UTC")]
    about = [session["milestone_id"], session["operation_type"],
             f"ended {session['completed_at'][:16]} UTC" if session["completed_at"] else
             f"last activity {since(session['last_activity'], data['now'])} ago"]
    return element(
        "header", element("p", element("span", session["status"], _class=f"pill is-{session['status']}"),
                          [element("span", " · ", element("bdi", word)) for word in about if word], _class="about"),
        element("h1", element("bdi", session["session_id"])),
        element("p", element("bdi", data["title"]), _class="title"), _progress(session),
        element("dl", [_fact(*fact) for fact in facts]), _attention(data))


def _fact(name: str, value: int | str, more: str) -> Markup:
    number = f"{value:,}" if isinstance(value, int) else value
    return element("div", element("dt", name), element("dd", number, " ", element("small", more)))


def _progress(session: Row) -> Markup:
    reached = PHASES.index(session["phase"]) if session["phase"] in PHASES else -1
    steps = [element("li", name, _class="done" if place < reached or session["status"] == "completed" else
                     "now" if place == reached else "", aria_current="step" if place == reached else None)
             for place, name in enumerate(PHASES)] if session["operation_type"] == "execution" else []
    bar = element("progress", max=100, value=session["progress"], aria_label="Progress")
    return element("div", bar, element("strong", f"{session['progress']:g} %"),
                   element("ol", steps, _class="phases") if steps else None, _class="done-so-far")


def _attention(data: Row) -> Markup | None:
    if not data["attention"]:
        return None
    return element("section", element("h2", "Needs attention"), element("ul", [
        element("li", element("span", row["what"]), " ", element("code", call_of(row["command"])))
        for row in data["attention"]]), _class="attention")


def _figure(data: Row) -> Markup:
    legend = [element("li", element("svg", empty("rect", width=22, height=10, y=3, rx=2, _class=name) if "span" in name
                                    else empty("path", d="M3 0v4M8 0v4M14 0v4M18 0v4M5 11v4M16 11v4", _class="beats"),
                                    width=22, height=16, aria_hidden="true"), text) for name, text in MARKS]
    legend += [element("li", element("svg", empty("use", href=f"#{kind}", x=8, y=8), width=16, height=16,
                                     _class=f"mark k-{kind}", aria_hidden="true"), text)
               for kind, text in (("crash", "crash"), ("recovery", "recovery"), ("requeue", "messages requeued"),
                                  ("checkpoint", "checkpoint"))]
    legend += [element("li", element("svg", empty("line", x1=1, x2=21, y1=8, y2=8, marker_end="url(#head)",
                                                  _class=f"message m-{kind}"), width=22, height=16, aria_hidden="true"),
                       text) for kind, text in ARROWS]
    buttons = [element("button", text, type="button", data_zoom=step, aria_label=label) for text, step, label in
               (("−", "-1", "Zoom out"), ("+", "1", "Zoom in"), ("0", "0", "Whole session"))]
    return element("section", element("h2", "Timeline ", element("span", buttons, _class="zoom")),
                   Timeline(data).draw(), element("ul", legend, _class="legend"), id="timeline")


def _sum_inboxes(data: Row, words: Sequence[str]) -> str:
    """How many messages of those states are in all inboxes, with + if there are more."""
    number = sum(inbox[word] for inbox in data["inboxes"].values() for word in words)
    return f"{number}{'+' * any(word in inbox['at_least'] for inbox in data['inboxes'].values() for word in words)}"


def _agents(data: Row) -> Markup:
    heads = ("agent", "type", "status", "heard", "waiting", "taken", "dead", "working on")
    rows = []
    for agent in data["agents"]:
        inbox = data["inboxes"].get(agent["agent_id"], {})
        is_silent = agent["status"] in ("active", "spawning") and agent["last_heartbeat"] <= data["silent_after"]
        word = "silent" if is_silent else agent["status"]
        numbers = [element("td", tell_count(inbox, name) if inbox.get(name) else "·", _class="number" + " dead" * bool(
            name == "dead" and inbox.get(name))) for name in ("waiting", "taken", "dead")]
        rows.append(element(
            "tr", element("th", element("bdi", agent["agent_id"]), scope="row"), element("td", agent["agent_type"]),
            element("td", element("span", word, _class=f"pill is-{word}")),
            element("td", since(agent["last_heartbeat"], data["now"]), _class="number",
                    data_minutes=round(minutes_between(agent["last_heartbeat"], data["now"]), 1)), *numbers,
            element("td", element("bdi", agent["error_info"] or agent["current_task"]))))
    head = element("thead", element("tr", [element("th", name, scope="col") for name in heads]))
    return element("section", element("h2", "Agents ", element("span", len(rows), _class="count")), element(
        "div", element("table", head, element("tbody", rows)), _class="wide", tabindex=0, role="region",
        aria_label="Agents"), id="agents")
