"""The resources that a client can read without a tool: the sessions, the status of each, and its report."""
from __future__ import annotations

from ..base.errors import MilestoneError, Refused, UsageError
from ..base.values import check_id, dump_json
from ..cli.main import shorten_line
from ..opening.place import begin_call
from ..operations.reports import make_report
from ..operations.sessions import get_session_status, list_coordination_sessions
from ..running import look
from .calling import cut
from .protocol import INTERNAL_ERROR, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..storage.call import Clock
    from ..storage.interface import Storage
    from .calling import Surroundings

SESSIONS = "milestone://sessions"
MOST_LISTED = 50  # sessions, the latest
JSON, MARKDOWN = "application/json", "text/markdown"
TEMPLATES = [
    {"uriTemplate": SESSIONS + "/{session_id}/status", "name": "session status", "mimeType": JSON,
     "description": "Progress, agents, messages and dead letters of a session, as get_session_status gives them"},
    {"uriTemplate": SESSIONS + "/{session_id}/report", "name": "session report", "mimeType": MARKDOWN,
     "description": "A session told for people: agents, results, messages, what was recovered, timeline"},
]


def list_resources(surroundings: Surroundings, clock: Clock) -> list[dict[str, Any]]:
    """The existing resources: the list of sessions, and two for each of the latest."""
    from urllib.parse import quote

    found: list[dict[str, Any]] = [{
        "uri": SESSIONS, "name": "sessions", "mimeType": JSON,
        "description": "All sessions, as list_coordination_sessions gives them"}]
    for row in _look(surroundings, clock, list_coordination_sessions)[:MOST_LISTED]:
        name = quote(row["session_id"], safe="")
        found += [{"uri": f"{SESSIONS}/{name}/{what}", "name": f"{row['session_id']} {what}", "mimeType": kind}
                  for what, kind in (("status", JSON), ("report", MARKDOWN))]
    return found


def read_resource(uri: str, surroundings: Surroundings, clock: Clock, not_found: int) -> dict[str, Any]:
    """The current contents of a resource; ProtocolError with the code `not_found` for an unknown URI."""
    from urllib.parse import unquote

    if uri == SESSIONS:
        return _content(uri, JSON, dump_json(_look(surroundings, clock, list_coordination_sessions)))
    head, _, rest = uri.partition(SESSIONS + "/")
    name, _, what = rest.partition("/")
    session_id = unquote(name, errors="surrogateescape")
    if head or what not in ("status", "report"):
        raise ProtocolError(not_found, "Resource not found", {"uri": uri})
    try:
        check_id(session_id, "the session")
        if what == "report":
            return _content(uri, MARKDOWN, _look(surroundings, clock, lambda store: make_report(store, session_id)))
        return _content(uri, JSON, dump_json(_look(surroundings, clock,
                                                   lambda store: get_session_status(store, session_id))))
    except (Refused, UsageError) as refused:
        raise ProtocolError(not_found, f"Resource not found: {shorten_line(str(refused))}", {"uri": uri}) from None


def _content(uri: str, kind: str, text: str) -> dict[str, Any]:
    shown = cut(text)
    if shown != text:
        shown += f"\n\ncut: this is the beginning of {len(text.encode())} bytes"
        kind = "text/plain" if kind == JSON else kind
    return {"uri": uri, "mimeType": kind, "text": shown}


def _look(surroundings: Surroundings, clock: Clock, action: Callable[[Storage], Any]) -> Any:
    try:
        return look(begin_call(surroundings.directory, surroundings.environ, clock), action)
    except (Refused, UsageError):
        raise
    except MilestoneError as error:
        raise ProtocolError(INTERNAL_ERROR, shorten_line(str(error))) from None
