"""Reports: a session told in Markdown, for people."""
from __future__ import annotations

import os

from ..base.filenames import file_name_of
from ..base.values import show
from ..coordination.session_view import survey_session
from ..registry import operation
from ..storage.directory import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..base.answers import Deliverable, Survey
    from ..storage.interface import Row, Storage

GROUP = "Recovery"
RECOVERED = ("agent_failed", "agent_revived", "session_resumed", "session_reopened", "session_restarted",
             "session_abandoned", "messages_returned", "message_dead_lettered", "plan_assembled", "checkpoint_restored",
             "spawn_command_ran", "spawn_command_failed")


@operation(text="line", existing=True)
def generate_milestone_report(store: Storage, session_id: str) -> str:
    """Write a Markdown report of a session: agents, results, messages, what was recovered; prints its path.

    session_id: the session

    Example: generate_milestone_report execution-ms-123-1
    """
    with store.snapshot():
        view = survey_session(store, session_id)
        events = store.execute("SELECT timestamp, event, agent_id, detail FROM events WHERE session_id = :id "
                               "ORDER BY id", {"id": session_id})
        kinds = store.execute("SELECT message_type, count(*) AS n FROM agent_messages WHERE session_id = :id "
                              "GROUP BY message_type ORDER BY message_type", {"id": session_id})
    text = "\n".join(_lines(view, events, kinds)) + "\n"
    path = os.path.join(store.directory, "reports", file_name_of(session_id) + ".md")
    write_whole(path, text.encode())
    return path


def _lines(view: Survey, events: list[Row], kinds: list[Row]) -> Iterator[str]:
    counts, agents = view["messages"], view["agents"]
    yield f"# {_cell(view['session_id'])}"
    yield ""
    yield f"- Milestone: {_cell(view['milestone_id'])}"
    yield f"- Operation: {view['operation_type']}"
    yield f"- Status: {view['status']}, progress {view['progress']:g} %, estimated {view['estimated_progress']:g} %"
    yield f"- Coordinator: {_cell(view['coordinator_id'])}"
    yield f"- Begun: {view['created_at']} UTC, last activity {view['last_activity']}"
    yield f"- Ended: {view['completed_at'] or 'not yet'}"
    yield from _section("Agents", ("agent", "type", "status", "spawned", "last heartbeat", "error"), [
        (row["agent_id"], row["agent_type"], row["status"], row["spawn_time"], row["last_heartbeat"],
         row["error_info"]) for row in agents])
    if view["deliverables"]:
        what = "Artifacts" if view["operation_type"] == "planning" else "Phases"
        yield from _section(what, ("name", "weight %", "saved as", "by", "at"), [
            (item["name"], f"{item['weight']:g}", *_saved(item)) for item in view["deliverables"]])
    yield from _section("Messages", ("type", "count"), [(row["message_type"], row["n"]) for row in kinds])
    yield ""
    yield (f"{counts['pending']} pending, {counts['taken']} taken, {counts['acknowledged']} acknowledged, "
           f"{counts['dead']} dead letters")
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
    """A value inside a line of Markdown: what would break out of a table's cell or be read as markup is escaped."""
    text = show("-" if value is None else str(value))
    return "".join("\\" + c if c in "\\|`*<[]_" else c for c in text)
