"""Lines and tables: the text of most operations' data, one small function for each form."""
from __future__ import annotations

from ...base.quoting import command, quote
from ...base.values import show, tell_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...storage.interface import Row


LONGEST_DETAIL = 200  # characters of an event's detail in a line


def plain(value: object) -> str:
    """A value inside a line: control characters are escaped, so that it stays one line."""
    return show("-" if value is None else f"{value:g}" if isinstance(value, float) else str(value))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns under their heads, two spaces apart."""
    lines = [list(heads)] + [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() + "\n"
                   for line in lines)


def columns(rows: list[Row], names: str, empty: str) -> str:
    """A table of some columns of rows, or a line that says there is none."""
    heads = names.split()
    return table(heads, [[row[name] for name in heads] for row in rows]) if rows else empty + "\n"


def count(number: int, what: str) -> str:
    """A number of things: `1 key`, `3 keys`."""
    return f"{number} {what}" + "s" * (number != 1)


def counted(data: Row, group: str) -> dict[str, str]:
    """The counts of a group; an incomplete one as `1000+`."""
    more = [name.partition(".")[2] for name in data["at_least"] if name.startswith(group + ".")]
    return {name: f"{number}{'+' * (name in more)}" for name, number in data[group].items()}


def ready(data: Row) -> str:
    return f"ready: {plain(data['database'])} (backend {data['backend']})\n"


def registered(data: Row) -> str:
    agent, kind = plain(data["agent_id"]), plain(data["agent_type"])
    back, unread, keys = data["messages_requeued"], data["messages_unread"], data["keys_kept"]
    told = [f"{count(back, 'message')} requeued", f"{tell_count(data, 'messages_unread')} unread",
            f"{count(keys, 'key')} kept"]
    if not data["again"]:  # then only what it may not expect
        told = [text for text, number in zip(told, (back, unread, keys)) if number]
    elsewhere = data["keys_elsewhere"]
    if elsewhere:
        told.append(f"{count(elsewhere, 'key')} of other milestones: {command(['list_agent_state', data['agent_id']])}")
    again = " again" if data["again"] else ""
    return (f"registered {agent} ({kind}) in session {plain(data['session_id'])}{again}" +
            (": " + ", ".join(told) if told else "") + "\n")


def agents(data: list[Row]) -> str:
    return columns(data, "agent_id agent_type status minutes_since_heartbeat current_task", "no agents")


def state_keys(data: list[Row]) -> str:
    own = columns([row for row in data if row["own"]],
                  "state_key state_type version characters updated_at expires_at session_id", "no state")
    return own + "".join(f"of milestone {plain(row['milestone_id'])}: " + command(
        ["load_agent_state", row["agent_id"], row["state_key"], "--session", row["session_id"]]) + "\n"
        for row in data if not row["own"])


def requeued(data: Row) -> str:
    where = f"the inbox of {plain(data['to_agent'])}"
    return (f"message {data['id']} is in {where} already: nothing was done\n" if data["was"] == "pending" else
            f"message {data['id']} is in {where} again; it was {data['was']}\n")


def checkpoints(data: list[Row]) -> str:
    return columns(data, "checkpoint_id checkpoint_type created_at retention_until", "no checkpoints")


def restored(data: Row) -> str:
    lines = [f"restored {len(data['keys'])} keys of {plain(data['agent_id'])}; "
             f"previous state saved as {data['kept_as']}"]
    lines += [f"{file['status']}: {plain(file['path'])}" for file in data["files"] if file["status"] != "same"]
    return "\n".join(lines) + "\n"


def sessions(data: list[Row]) -> str:
    return columns(data, "session_id milestone_id operation_type phase status progress agent_count last_activity",
                   "no sessions")


def session_status(data: Row) -> str:
    counts = counted(data, "messages")
    lines = [
        f"session {plain(data['session_id'])}: {plain(data['operation_type'])} of {plain(data['milestone_id'])}, "
        f"{plain(data['status'])}, {data['progress']:g} %"
        + (f", phase {plain(data['phase'])}" if data["phase"] else ""),
        f"coordinator {plain(data['coordinator_id'])}; inactive for {data['minutes_inactive']:g} min",
        f"messages: {counts['pending']} pending, {counts['taken']} taken, {counts['acknowledged']} acknowledged, "
        f"{counts['dead']} dead letters",
    ]
    lines += [f"dead letter {letter['id']}: {plain(letter['message_type'])} from {plain(letter['from_agent'])} "
              f"to {plain(letter['to_agent'])}, requeued {letter['retry_count']} times"
              for letter in data["dead_letters"]]
    if data["dead_letters"]:
        agent, number = (str(data["dead_letters"][0][name]) for name in ("to_agent", "id"))
        lines.append(f"to read them: {plain(command(['list_agent_messages', agent, '--state', 'dead']))}; to put one "
                     f"back: {plain(command(['requeue_agent_message', agent, number]))}")
    return "\n".join(lines) + "\n" + agents(data["agents"])


def artifacts(data: Row) -> str:
    rows = columns(data["artifacts"], "state_key agent_id version updated_at", "no artifacts yet")
    return rows + (f"missing: {' '.join(data['missing'])}\n" if data["missing"] else "nothing is missing\n")


def milestone(data: Row) -> str:
    how = "created" if data["created"] else "is there already"
    read = command(["read_milestone_record", data["milestone_id"]])
    return f"milestone {plain(data['milestone_id'])} {how}: {read}\n"


def settings(data: str | dict[str, str]) -> str:
    if isinstance(data, str):
        return data + "\n"
    return "".join(f"{key}={plain(value)}\n" for key, value in data.items())


def where(data: Row) -> str:
    made = "" if data["exists"] else " (not made yet)"
    return f"{plain(data['directory'])}{made}\nwhy: {data['reason']}\n{data['backend']}: {plain(data['database'])}\n"


def imported_files(data: Row) -> str:
    lines = [f"{'would be ' if data['dry_run'] and file['what'] != 'unchanged' else ''}{file['what']}: "
             f"{plain(file['file'])} as {plain(file['state_key'])} of {plain(file['agent_id'])} in session "
             f"{plain(file['session_id'])}" + ("" if file["is_json"] else "; no JSON, kept as text")
             + ("; file removed" if file["removed"] else "") for file in data["files"]]
    lines += [f"left alone: {plain(file['file'])}: {file['why']}" for file in data["skipped"]]
    if data["files"] and not data["removed"] and not data["dry_run"]:
        lines.append("the files are still there: the same with --remove deletes them")
    return "\n".join(lines or [f"nothing to import in {plain(data['directory'])}"]) + "\n"


def whoami(data: Row) -> str:
    agent, session, session_id = data["agent"], data["session"], data["session_id"]
    name = plain(data["agent_id"])
    who = ("unknown: set AGENT_ID" if data["agent_id"] is None else
           f"{name} ({plain(agent['agent_type'])}, {plain(agent['status'])}), from AGENT_ID" if agent else
           f"{name}, from AGENT_ID; not registered: register_agent {plain(quote(data['agent_id']))} "
           "TYPE MILESTONE SESSION")
    where = "unknown: set SESSION_ID" if session_id is None else (
        f"{plain(session_id)} ({plain(session['operation_type'])}, {plain(session['status'])})" if session else
        f"{plain(session_id)} (there is none yet)") + f", from {data['session_from']}"
    if agent and session_id != agent["session_id"]:
        where += f"; but the agent is registered in {plain(agent['session_id'])}"
    what = "unknown: set MILESTONE_ID" if data["milestone_id"] is None else (
        f"{plain(data['milestone_id'])}, from {data['milestone_from']}")
    return (f"agent: {who}\nsession: {where}\nmilestone: {what}\n"
            f"data: {plain(data['directory'])}, {data['reason']}\n")


def doctor(data: list[Row]) -> str:
    lines = [": ".join(plain(found[part]) for part in ("severity", "where", "what", "do") if found[part])
             for found in data]
    if any(found["fixable"] and found["severity"] != "fixed" for found in data):
        from ...base.invocation import way_called

        lines.append(f"{way_called()} doctor --fix")
    return "\n".join(lines) + "\n"


def generated(data: list[Row]) -> str:
    return "".join(f"{'made' if row['stale'] else 'current'}: {row['file']}\n" for row in data)


def record(data: str) -> str:
    return data


def words(data: list[str]) -> str:
    return "".join(f"{word}\n" for word in data)


def record_written(data: Row) -> str:
    where = plain(data["path"] or "in the database")
    return f"milestone {plain(data['milestone_id'])}: {where}, version {data['version']}\n"


def events(data: list[Row]) -> str:
    return "".join(event_line(row) + "\n" for row in data) or "no events\n"


def event_line(row: Row) -> str:
    """An event as a line: when, what, by or of whom, and more of it."""
    about = row["agent_id"] or row["session_id"] or row["milestone_id"]
    words = (row["timestamp"][:19], row["event"], about, shorten(row["detail"], LONGEST_DETAIL))
    return " ".join(plain(word) for word in words if word)


def shorten(text: str, most: int) -> str:
    """A text, truncated if it is long."""
    return text if len(text) <= most else text[:most - 1] + "…"


def ids(data: list[Row]) -> str:
    return "".join(f"{plain(row['id'])}\n" for row in data)


def milestones(data: list[Row]) -> str:
    return columns(data, "id status priority title", "no milestones")


def found(data: list[Row]) -> str:
    lines = [f"{plain(row['id'])}: {plain(line)}" for row in data for line in row["lines"] or [row["title"]]]
    return "\n".join(lines or ["nothing found"]) + "\n"


def analytics(data: Row) -> str:
    return "".join(f"{group}: " + ", ".join(f"{plain(word)} {n}" for word, n in counts.items()) + "\n"
                   for group, counts in data.items())


def lock(data: Row) -> str:
    milestone_id, until = plain(data["milestone_id"]), data["expires_at"]
    if data["token"]:
        release = command(["release_milestone_lock", data["milestone_id"], "--owner", data["owner"]])
        return f"locked {milestone_id} until {until}; release it with: {release}\n"
    return f"locked {milestone_id} for {plain(data['owner'])} until {until}\n"


def migrated(data: Row) -> str:
    if data["from"] == data["to"]:
        return f"the {data['to']} backend is in use: nothing was moved\n"
    rows = table(("table", "rows"), data["rows"].items())
    if data["dry_run"]:
        return f"{rows}would move these from {data['from']} to {data['to']}: nothing was moved\n"
    return f"{rows}moved from {data['from']} to {data['to']}; backup: {plain(data['backup'])}\n"


def backup(data: Row) -> str:
    back = command(["restore_coordination", data["file"]])
    return f"{sum(data['rows'].values())} rows; restore with: {back}\n"


def exported(data: Row) -> str:
    return data["text"] if "text" in data else f"{sum(data['rows'].values())} rows in {plain(data['file'])}\n"


def restored_backup(data: Row) -> str:
    kept = f"; what was there is kept in {plain(data['kept'])}" if data["kept"] else ""
    damaged = f"; the damaged files are in {plain(data['damaged'])}" if data.get("damaged") else ""
    return f"{sum(data['rows'].values())} rows from {plain(data['file'])}{kept}{damaged}\n"
