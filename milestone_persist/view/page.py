"""A session as one self-contained HTML page: head, timeline, agents, and searchable tables."""
from __future__ import annotations

import base64
import hashlib

from ..base.packaged import read_packaged
from ..base.values import dump_json
from .markup import Markup, element, empty
from .parts import make_parts
from .reading import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row

ROOM = "view"
SECTIONS = ("Timeline", "Agents", "Messages", "State", "Checkpoints", "Events")
MADE_HERE = ("Timeline", "Agents")  # the others the script of the page makes
KEYS = "/ search · arrows move in a table, Enter opens · + − 0 zoom the timeline · Esc clears"


def make_page(data: Row, sessions: list[Row] | None = None) -> str:
    """The page of a session.

    sessions: those that a live page lets choose from; None makes a page that stays as it is
    """
    style, script = _read("page.css"), _read("page.js")
    session_id = data["session"]["session_id"]
    parts = make_parts(data)
    body = element(
        "body", _toolbar(session_id, sessions), element("main", [
            element("div", parts[name], id=f"part-{name}") for name in ("head", "timeline", "agents")], *_sections()),
        element("footer", KEYS, _class="keys"), element("dialog", id="details"), element("div", id="tip", hidden=True),
        element("script", Markup(_as_data(make_tables(data))), type="application/json", id="data"),
        element("script", Markup(script)), data_live=sessions is not None)
    head = element(
        "head", empty("meta", charset="utf-8"),
        empty("meta", http_equiv="Content-Security-Policy", content=policy(sessions is not None)),
        empty("meta", name="viewport", content="width=device-width, initial-scale=1"),
        empty("meta", name="color-scheme", content="light dark"), empty("meta", name="referrer", content="no-referrer"),
        element("title", session_id), element("style", Markup(style)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def policy(is_live: bool) -> str:
    """The page's content security policy: its own script and style only; a live page also contacts its own server."""
    return (f"default-src 'none'; style-src '{_digest('page.css')}'; script-src '{_digest('page.js')}'; "
            f"connect-src {chr(39)}{'self' if is_live else 'none'}{chr(39)}; base-uri 'none'; form-action 'none'")


def make_tables(data: Row) -> Row:
    """The data of the page's tables: for each its rows, as lists in the order of its columns."""
    values: dict[str, int] = {}  # what checkpoints hold is kept once
    points = [[row["checkpoint_id"], row["created_at"], row["agent_id"], row["checkpoint_type"],
               [[shown(item["state_key"]), item["version"], values.setdefault(shown(item["state_value"]), len(values))]
                for item in row["state"]]] for row in data["checkpoints"] if row["state"] is not None]
    found = {
        "messages": ("messages", "id created_at from_agent to_agent message_type priority state payload delivered_at "
                                 "acknowledged_at retry_count"),
        "state": ("keys", "agent_id state_key state_type version updated_at state_value expires_at"),
        "events": ("events", "id timestamp event agent_id detail")}
    clean = {table: [[_cell(row, name) for name in names.split()] for row in data[rows]]
             for table, (rows, names) in found.items()}
    return {**clean, "checkpoints": points, "values": [*values], "session": shown(data["session"]["session_id"]),
            "totals": data["totals"], "days": data["begin"][:10] != data["end"][:10]}


def _cell(row: Row, name: str) -> object:
    cut = row["characters"] if name in ("payload", "state_value") else 0
    return shown(row[name], cut) if isinstance(row[name], str) else row[name]


def style_of_page() -> str:
    """The page's style, for a page with only a sentence."""
    return _read("page.css")


def _as_data(tables: Row) -> str:
    """JSON that cannot end the script element around it."""
    return dump_json(tables).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _read(name: str) -> str:
    return read_packaged(ROOM, name)


def _digest(name: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_read(name).encode()).digest()).decode()


def _toolbar(session_id: str, sessions: list[Row] | None) -> Markup:
    live: list[Markup] = []
    if sessions is not None:
        options = [element("option", f"{row['session_id']} ({row['status']})", value=row["session_id"],
                           selected=row["session_id"] == session_id) for row in sessions]
        live = [element("label", element("span", "Session", _class="hidden"), element("select", options, id="session")),
                element("span", "live", id="live", role="status")]
    search = element("label", element("span", "Search", _class="hidden"),
                     empty("input", id="search", type="search", placeholder="Search messages, state, events",
                           autocomplete="off", spellcheck="false"))
    return element("div", *live, search, element("button", "", id="chosen", type="button", hidden=True),
                   element("nav", [element("a", name, href=f"#{name.lower()}") for name in SECTIONS]),
                   element("button", "Theme: auto", id="theme", type="button"), _class="toolbar")


def _sections() -> list[Markup]:
    return [_checkpoints() if name == "Checkpoints" else element(
        "section", element("h2", name, " ", element("span", _class="count")),
        element("div", element("table"), _class="box", tabindex=0, role="region", aria_label=name), id=name.lower())
        for name in SECTIONS if name not in MADE_HERE]


def _checkpoints() -> Markup:
    def choice(name: str, label: str) -> Markup:
        return element("label", label, " ", element("select", id=name))

    return element("section", element("h2", "Checkpoints ", element("span", _class="count")),
                   element("p", choice("before", "From"), choice("after", "to"), _class="choices"),
                   element("div", id="difference", aria_live="polite"), id="checkpoints")
