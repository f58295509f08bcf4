"""Milestones: their records, lists, and counts."""
from __future__ import annotations

from ..base.errors import Refused, StorageError, UsageError
from ..base.quoting import command
from ..base.values import check_version, check_word
from ..base.vocabulary import MILESTONE_STATUSES
from ..coordination.idempotency import do_once
from ..coordination.leases import name_owner, refuse_locked
from ..coordination.sessions import ensure_milestone
from ..records.headings import read_headings
from ..records.index import index_records, list_records, require_record
from ..records.record import archive_record, find_record, read_record, write_record
from ..registry import operation
from ..storage.events import record_event
from ..storage.surroundings import tell_earlier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..base.answers import Analytics, FoundMilestone, ListedMilestone, ReadRecord, WrittenRecord
    from ..storage.interface import Storage

GROUP = "Milestones"


@operation(text="record_written", stdin="text")
def create_milestone_record(store: Storage, milestone_id: str, text: str, *, key: str | None = None) -> WrittenRecord:
    """Store the record of a new milestone, byte for byte; status 1 if it has one already.

    milestone_id: the milestone
    text: the record, usually YAML with title:, status: and priority: at the top level; - reads standard input
    key: makes it once: the same call with the same key changes nothing, another is refused (status 1)

    Example: create_milestone_record ms-124 'title: Faster start'
    """
    _require_text(text)
    with store.transaction("milestones"):
        index_records(store, milestone_id=milestone_id)
        return do_once(store, key, store.environ.get("AGENT_ID", ""), "create_milestone_record",
                       lambda: [milestone_id, text], lambda: _create_record(store, milestone_id, text))


def _create_record(store: Storage, milestone_id: str, text: str) -> WrittenRecord:
    if _is_archived(store, milestone_id):
        raise Refused(f"milestone {milestone_id!r} is completed or was deleted, and its record is kept: "
                      "take another id")
    if find_record(store, milestone_id) is not None:
        raise Refused(f"milestone {milestone_id!r} has a record already: update_milestone_record changes it")
    ensure_milestone(store, milestone_id)
    return _store_record(store, milestone_id, text, "milestone_created")


@operation(text="state", creates=False)
def read_milestone_record(store: Storage, milestone_id: str, *, full: bool = False) -> str | ReadRecord:
    """Print the record of a milestone exactly as it was written; completed ones too.

    milestone_id: the milestone
    full: print a JSON object with text, version, path and times instead

    Example: read_milestone_record ms-123
    """
    if not full:
        return require_record(store, milestone_id)
    row: Any = next((row for row in list_records(store) if row["id"] == milestone_id), {})
    read: Any = {"text": require_record(store, milestone_id), **row}  # its version first: the text may be newer
    record: ReadRecord = read
    return record


@operation(text="record_written", stdin="text")
def update_milestone_record(store: Storage, milestone_id: str, text: str, *, if_version: int | None = None,
                            owner: str = "") -> WrittenRecord:
    """Replace the record of a milestone; status 1 while another holds its lock.

    milestone_id: a milestone that has a record
    text: the whole new record; - reads standard input
    if_version: replace it only if it still has this version, as read_milestone_record --full tells; else status 1
    owner: who holds its lock, if it is locked; without it $AGENT_ID

    Example: update_milestone_record ms-123 'title: Login for all'
    """
    _require_text(text)
    check_version(if_version)
    with store.transaction("milestones"):
        before = _require_changeable(store, milestone_id, owner)
        if if_version is not None:
            _require_version(store, milestone_id, if_version)
        _tell_what_is_lost(store, milestone_id, before, text)
        return _store_record(store, milestone_id, text, "milestone_updated")


def _require_changeable(store: Storage, milestone_id: str, owner: str) -> str:
    """The text of a record, which the caller may change."""
    index_records(store, milestone_id=milestone_id)
    text = require_record(store, milestone_id)
    _refuse_archived(store, milestone_id)
    refuse_locked(store, milestone_id, name_owner(store, owner))
    return text


def _tell_what_is_lost(store: Storage, milestone_id: str, before: str, text: str) -> None:
    """Say which headings of a record are not in the one that replaces it: who gives a part meant to change that."""
    after = read_headings(text)
    lost = [f"{name}: {value}" for name, value in read_headings(before).items() if name not in after and name != "id"]
    if lost:
        store.tell_done(f"this is the whole record of {milestone_id} now, without its former {', '.join(lost)}; "
                        f"to keep that, give all of it: {command(['update_milestone_record', milestone_id])} TEXT")


def _require_version(store: Storage, milestone_id: str, wanted: int) -> None:
    found = _read_record_location(store, milestone_id)["version"]
    if found != wanted:
        raise Refused(f"the record of milestone {milestone_id!r} has version {found}, not {wanted}: another writer was "
                      f"first; read it again: {command(['read_milestone_record', milestone_id, '--full'])}")


def _require_text(text: str) -> None:
    if not text:
        raise UsageError("TEXT is empty: give the record's text")


def _store_record(store: Storage, milestone_id: str, text: str, event: str) -> WrittenRecord:
    write_record(store, milestone_id, text)
    record_event(store, event, milestone_id=milestone_id)
    return _read_record_location(store, milestone_id)


def _read_record_location(store: Storage, milestone_id: str) -> WrittenRecord:
    written: WrittenRecord = store.execute(
        "SELECT id AS milestone_id, file_path AS path, version FROM milestones WHERE id = :id",
        {"id": milestone_id})[0]
    return written


def _refuse_archived(store: Storage, milestone_id: str) -> None:
    if _is_archived(store, milestone_id):
        raise Refused(f"milestone {milestone_id!r} is completed or was deleted (read_milestone_record prints its "
                      "record): nothing was changed")


def _is_archived(store: Storage, milestone_id: str) -> bool:
    rows = store.execute("SELECT archived_at FROM milestones WHERE id = :id", {"id": milestone_id})
    return bool(rows and rows[0]["archived_at"])


@operation(text="record_written")
def delete_milestone_record(store: Storage, milestone_id: str, *, owner: str = "") -> WrittenRecord:
    """Move the record of a milestone from the active ones to completed/, where it can still be read.

    milestone_id: a milestone that has a record
    owner: who holds its lock, if it is locked; without it $AGENT_ID

    Example: delete_milestone_record ms-123
    """
    with store.transaction("milestones"):
        _require_changeable(store, milestone_id, owner)
        archive_record(store, milestone_id)
        record_event(store, "milestone_deleted", milestone_id=milestone_id)
        return _read_record_location(store, milestone_id)


@operation(text="ids", creates=False, long="milestones")
def list_milestones(store: Storage, status: str = "all", *, long: bool = False) -> list[ListedMilestone]:
    """List the ids of milestones, one a line and nothing else; --long and --json tell status, priority and title.

    status: only those of this status, as their records say it; all lists every one
    long: print a table with status, priority and title

    Example: list_milestones active
    """
    rows = list_records(store)
    if not rows:
        tell_earlier(store)
    if status == "all":
        return rows
    found = [row for row in rows if row["status"] == status]
    if not found:
        check_word(status, MILESTONE_STATUSES, "milestone status")
    return found


@operation(text="ids", creates=False, long="found")
def search_milestones(store: Storage, term: str, *, long: bool = False) -> list[FoundMilestone]:
    """Find a text in the records, ids and titles of milestones, whatever the case; prints one id a line.

    term: the text
    long: print the lines that hold the text too

    Example: search_milestones login
    """
    if not term:
        raise UsageError("TERM is empty: give a text to look for")
    found: list[FoundMilestone] = []
    wanted = term.casefold()
    for row in list_records(store):
        text = _text_of(store, row)
        lines = [line.strip() for line in text.splitlines() if wanted in line.casefold()]
        if lines or wanted in row["id"].casefold() or wanted in row["title"].casefold():
            found.append({"id": row["id"], "title": row["title"], "status": row["status"], "lines": lines})
    return found


def _text_of(store: Storage, row: ListedMilestone) -> str:
    try:
        return read_record(store, row)
    except StorageError:  # one file that cannot be read; the list has warned of it
        return ""


@operation(text="analytics", creates=False)
def get_milestone_analytics(store: Storage) -> Analytics:
    """Count milestones by status and priority, sessions, agents and messages.

    Example: get_milestone_analytics
    """
    milestones = list_records(store)
    with store.snapshot():
        return {
            "milestones": _count_words(row["status"] for row in milestones),
            "priorities": _count_words(row["priority"] for row in milestones),
            "sessions": _count(store, "coordination_sessions", "status"),
            "operations": _count(store, "coordination_sessions", "operation_type"),
            "agents": _count(store, "agent_registry", "status"),
            "messages": {"total": store.execute("SELECT count(*) AS n FROM agent_messages")[0]["n"]},
        }


def _count_words(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in sorted(words):
        counts[word] = counts.get(word, 0) + 1
    return {"total": sum(counts.values()), **counts}


def _count(store: Storage, table: str, column: str) -> dict[str, int]:
    rows = store.execute(f"SELECT {column} AS word, count(*) AS n FROM {table} GROUP BY {column} ORDER BY {column}")
    return {"total": sum(row["n"] for row in rows), **{row["word"]: row["n"] for row in rows}}
