"""The milestones table as the index of the records, which people may edit, add, move or remove as files."""
from __future__ import annotations

from ..base.errors import Refused, StorageError
from ..base.quoting import quote
from ..storage.findings import finding
from .files import find_changes
from .record import facts_of, find_record, note_record
from .swap import finish_swap, is_swapped_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Finding, ListedMilestone
    from ..storage.interface import Storage


def index_records(store: Storage, strict: bool = False, milestone_id: str | None = None) -> None:
    """Update the milestones table from record files that were edited, added, moved or removed by hand.

    strict: a file that cannot be a record is a StorageError, not only a warning
    milestone_id: do it for one milestone, and look at no file of others
    """
    if not store.backend.records_are_files:
        return
    is_half_swapped = is_swapped_out(store)
    milestone_id = None if is_half_swapped else milestone_id
    changes = find_changes(store, milestone_id)
    if changes.changed or changes.gone or is_half_swapped:
        with store.transaction("milestones"):
            finish_swap(store)
            changes = find_changes(store, milestone_id)  # as they are while no other process moves them
            for change in changes.changed:
                _index_file(store, *change)
            for milestone_id in changes.gone:
                _forget_file(store, milestone_id)
    for why in changes.wrong.values():
        if strict:
            raise StorageError(f"{why}; nothing was done")
        store.warn(f"{why}; until then it is left out")


def _index_file(store: Storage, milestone_id: str, path: str, stamp: str, text: str) -> None:
    store.execute("INSERT INTO milestones (id, title, created_at, updated_at) VALUES (:id, :id, :now, :now) "
                  "ON CONFLICT (id) DO NOTHING", {"id": milestone_id, "now": store.now()})
    note_record(store, milestone_id, text, path, stamp)


def _forget_file(store: Storage, milestone_id: str) -> None:
    """A record was removed by hand: remove the milestone too, unless a session or an agent still refers to it."""
    given = {"id": milestone_id}
    store.execute("UPDATE milestones SET version = version + 1, file_path = NULL, file_stamp = NULL WHERE id = :id",
                  given)
    store.execute(
        "DELETE FROM milestones WHERE id = :id "
        "AND NOT EXISTS (SELECT 1 FROM coordination_sessions s WHERE s.milestone_id = milestones.id) "
        "AND NOT EXISTS (SELECT 1 FROM agent_registry a WHERE a.milestone_id = milestones.id)", given)


def require_record(store: Storage, milestone_id: str) -> str:
    """The record's text; Refused names the nearest milestones."""
    if is_swapped_out(store):  # by another process, or by one that was killed
        index_records(store)
    text = find_record(store, milestone_id)
    if text is None and store.backend.records_are_files:  # its file may have been moved or replaced just now
        text = _find_under_lock(store, milestone_id)
    if text is None:
        from ..storage.suggestions import suggest

        rows = store.execute("SELECT id FROM milestones ORDER BY updated_at DESC LIMIT 1000")
        known = [row["id"] for row in rows]
        if milestone_id in known:
            raise Refused(f"milestone {milestone_id!r} has no record yet: "
                          f"create_milestone_record {quote(milestone_id)} TEXT")
        where = _tell_session(store, milestone_id) or suggest(store, milestone_id, known, "list_milestones")
        raise Refused(f"no record of milestone {milestone_id!r} {where}")
    return text


def _tell_session(store: Storage, word: str) -> str:
    """What is said of a session in the place of a milestone; "" if it is none."""
    rows = store.execute("SELECT milestone_id FROM coordination_sessions WHERE session_id = :id "
                         "AND milestone_id IS NOT NULL", {"id": word})
    return f"in {store.directory}: that is a session of milestone {rows[0]['milestone_id']}" if rows else ""


def _find_under_lock(store: Storage, milestone_id: str) -> str | None:
    try:
        with store.transaction("milestones"):
            index_records(store)
            return find_record(store, milestone_id)
    except StorageError:  # where nothing can be written, nothing moves
        return None


def list_records(store: Storage) -> list[ListedMilestone]:
    """The milestones with their records' headings, ordered by id.

    Record files are indexed first; where the store cannot be written, those not indexed yet are looked at.
    """
    unindexed = []
    try:
        with store.hurry():
            index_records(store)
    except StorageError:
        unindexed = find_changes(store).changed
    rows = {row["id"]: row for row in store.execute("SELECT id, title, status, priority, version, created_at, "
                                                    "updated_at, file_path FROM milestones ORDER BY id")}
    for milestone_id, path, _, text in unindexed:
        known = rows.get(milestone_id, {"created_at": store.now(), "updated_at": store.now(), "version": 0})
        rows[milestone_id] = {**known, "version": known["version"] + 1, "id": milestone_id, "file_path": path,
                              **facts_of(milestone_id, text, path)}
    return [rows[name] for name in sorted(rows)]


def inspect_records(store: Storage) -> list[Finding]:
    """Findings on record files: missing and invalid ones."""
    if not store.backend.records_are_files:
        return []
    changes = find_changes(store)
    gone = [finding(store.directory, f"the record of milestone {name!r} is gone: put its file back; else the next "
                    "listing forgets it") for name in changes.gone]
    return gone + [finding(store.directory, why) for why in changes.wrong.values()]


def count_milestones(store: Storage) -> int:
    """The number of milestones, including those whose record was written by hand."""
    if store.backend.records_are_files:
        return len(list_records(store))
    return int(store.execute("SELECT count(*) AS milestones FROM milestones")[0]["milestones"])
