"""Reports: a session as Markdown, or as a page, for people."""
from __future__ import annotations

import os

from ..base.errors import UsageError
from ..base.filenames import file_name_of
from ..base.found import read_found
from ..base.values import show
from ..coordination.counting import count_mail
from ..coordination.future import look_from_now
from ..coordination.session_view import survey_session
from ..registry import operation
from ..storage.files import write_whole
from ..view.page import make_page
from ..view.reading import read_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..base.answers import Deliverable, Survey
    from ..storage.interface import Row, Storage

GROUP = "Recovery"
DOCTYPE = b"<!doctype html>"
RECOVERED = ("agent_failed", "agent_revived", "session_resumed", "session_reopened", "session_restarted",
             "session_abandoned", "messages_returned", "message_dead_lettered", "plan_assembled", "checkpoint_restored",
             "spawn_command_ran", "spawn_command_failed")


@operation(text="line", existing=True)
def generate_milestone_report(store: Storage, session_id: str) -> str:
    """Write a Markdown report of a session: agents, results, messages, what was recovered; prints its path.

    session_id: the session

    It links to the page of `report` next to it. Example: generate_milestone_report execution-ms-123-1
    """
    path = _report_path(store, session_id, ".md")
    with store.snapshot():
        text = make_report(store, session_id, file_name_of(session_id) + ".html")
        page = make_page(read_session(store, session_id))
    write_whole(_report_path(store, session_id, ".html"), page.encode())
    write_whole(path, text.encode())
    return path


def make_report(store: Storage, session_id: str, page: str = "") -> str:
    """The report itself, with a link to its page if there is one. Refused if there is no such session."""
    with store.snapshot():
        view = survey_session(store, session_id)
        mail = count_mail(store, session_id, every_one=True)
        events = store.execute("SELECT timestamp, event, agent_id, detail FROM events WHERE session_id = :id "
                               "ORDER BY id", {"id": session_id})
        kinds = store.execute("SELECT message_type, count(*) AS n FROM agent_messages WHERE session_id = :id "
                              "GROUP BY message_type ORDER BY message_type", {"id": session_id})
    return "\n".join(_lines(view, mail, events, kinds, page)) + "\n"


@operation(text="line", shell=False, existing=True)
def report(store: Storage, session_id: str, *, html: str = "") -> str:
    """Write a page that shows a session: timeline, messages, state, checkpoints, events; prints its path.

    session_id: the session
    html: the file; without it, one below reports/

    The page is one file that needs no network; any browser opens it. A live one: dashboard.
    Example: report execution-ms-123-1 --html report.html
    """
    path = os.path.abspath(html) if html else _report_path(store, session_id, ".html")
    if html:
        _refuse_no_file(html, path)
    _refuse_foreign(path)
    look_from_now(store)
    write_whole(path, make_page(read_session(store, session_id)).encode(), makes_folder=not html)
    return path


def _refuse_no_file(html: str, path: str) -> None:
    """UsageError for an impossible path: no folder is created for it, and a page is not printed."""
    if html == "-":
        raise UsageError("--html cannot be - here: name a file (./- is that name)")
    if os.path.isdir(path) or html.endswith("/"):
        raise UsageError(f"{path} is a folder: name a file, such as {os.path.join(path, 'report.html')}")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise UsageError(f"cannot write {path}: there is no folder {folder}; make it first")


def _refuse_foreign(path: str) -> None:
    """UsageError if a file exists that is not an HTML page, so that it is not lost."""
    begin = read_found(path, len(DOCTYPE))
    if begin is not None and begin.lower() != DOCTYPE:
        raise UsageError(f"{path} is there already and is no page of HTML: name another file")


def _report_path(store: Storage, session_id: str, ending: str) -> str:
    return os.path.join(store.directory, "reports", file_name_of(session_id) + ending)


def _lines(view: Survey, mail: Mapping[str, int], events: list[Row], kinds: list[Row], page: str) -> Iterator[str]:
    from urllib.parse import quote

    yield f"# {_cell(view['session_id'])}"
    yield ""
    if page:
        yield f"The same as a page with a timeline: [{_cell(page)}]({quote(page)})"
        yield ""
    yield f"- Milestone: {_cell(view['milestone_id'])}"
    yield f"- Operation: {view['operation_type']}"
    yield f"- Status: {view['status']}, progress {view['progress']:g} %, estimated {view['estimated_progress']:g} %"
    yield f"- Coordinator: {_cell(view['coordinator_id'])}"
    yield f"- Begun: {view['created_at']} UTC, last activity {view['last_activity']}"
    yield f"- Ended: {view['completed_at'] or 'not yet'}"
    yield from _section("Agents", ("agent", "type", "status", "spawned", "last heartbeat", "error"), [
        (row["agent_id"], row["agent_type"], row["status"], row["spawn_time"], row["last_heartbeat"],
         row["error_info"]) for row in view["agents"]])
    if view["deliverables"]:
        what = "Artifacts" if view["operation_type"] == "planning" else "Phases"
        yield from _section(what, ("name", "weight %", "saved as", "by", "at"), [
            (item["name"], f"{item['weight']:g}", *_saved(item)) for item in view["deliverables"]])
    yield from _section("Messages", ("type", "count"), [(row["message_type"], row["n"]) for row in kinds])
    yield ""
    yield (f"{mail['pending']} pending, {mail['taken']} taken, {mail['acknowledged']} acknowledged, "
           f"{mail['dead']} dead letters")
    if view["dead_letters"]:
        yield from _section("Dead letters", ("id", "type", "from", "to", "retries"), [
            (row["id"], row["message_type"], row["from_agent"], row["to_agent"], row["retry_count"])
            for row in view["dead_letters"]])
    yield from _section("What was recovered", ("time", "event", "agent", "detail"), [
        (row["timestamp"], row["event"], row["agent_id"], row["detail"]) for row in events
        if row["event"] in RECOVERED])
    yield from _section("Timeline", ("time", "event", "agent", "detail"), [
        (row["timestamp"], row["event"], row["agent_id"], row["detail"]) for row in events])


def _saved(item: Deliverable) -> tuple[str, str, str]:
    if not item["saved"]:
        return "missing", "", ""
    last = item["saved"][-1]
    return (", ".join(sorted({row["state_key"] for row in item["saved"]})),
            ", ".join(sorted({row["agent_id"] for row in item["saved"]})), last["updated_at"])


def _section(title: str, heads: Sequence[str], rows: list[tuple[object, ...]]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    if not rows:
        yield "none"
        return
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(_cell(value) for value in row) + " |"


def _cell(value: object) -> str:
    """A value inside a line of Markdown: characters that would end a table cell or be read as markup are escaped."""
    text = show("-" if value is None else str(value))
    return "".join("\\" + c if c in "\\|`*<[]_" else c for c in text)
