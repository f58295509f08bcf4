"""Planning artifacts: which a session has saved, and what is made of them."""
from __future__ import annotations

from ..base.values import is_json, parse_json, read_stored
from ..base.yaml_text import dump_yaml
from ..records.index import find_record
from .settings import read_setting
from .snapshots import LIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.rows import Session
    from ..storage.interface import Row, Storage

PLAN = "milestone-plan"
EMPTY = ("", '""', "null")  # values in which nothing is said: what an unset variable leaves
BRIEF = "CASE WHEN length(s.state_value) < 20 THEN s.state_value ELSE '-' END AS brief"


def expected_artifacts(store: Storage) -> list[str]:
    """The state keys a planning session is expected to save."""
    return read_setting(store, "planning_artifacts").split()


def is_empty(row: Row) -> bool:
    """Whether a row that was read with BRIEF holds a value in which nothing is said."""
    return row["brief"].strip() in EMPTY


def find_artifacts(store: Storage, session_id: str, columns: str = "s.state_value, s.version, s.updated_at",
                   empty: bool = False) -> list[Row]:
    """The planning artifacts saved in a session, oldest first: the expected keys and all planning-*.

    columns: which there are beside agent_id, agent_type and state_key
    empty: those in which nothing is said, instead of the others
    """
    keys = {f"key{place}": key for place, key in enumerate({*expected_artifacts(store), PLAN})}
    rows = store.execute(
        f"SELECT s.agent_id, a.agent_type, s.state_key, {BRIEF}, {columns} "
        f"FROM agent_state s JOIN agent_registry a ON a.agent_id = s.agent_id WHERE s.saved_in = :id AND {LIVE} "
        f"AND (substr(s.state_key, 1, 9) = 'planning-' OR s.state_key IN ({', '.join(':' + name for name in keys)})) "
        "ORDER BY s.updated_at, s.agent_id, s.state_key", {"id": session_id, "now": store.now(), **keys})
    return [row for row in rows if is_empty(row) == empty]


def artifact_keys(store: Storage, session_id: str, empty: bool = False) -> list[str]:
    """The keys of the planning artifacts saved in a session, each once."""
    return sorted({row["state_key"] for row in find_artifacts(store, session_id, "s.updated_at", empty)})


def artifact_value(row: Row) -> Any:
    """An artifact's value: parsed where it is JSON, else its text."""
    return parse_json(row["state_value"]) if is_json(row["state_value"]) else row["state_value"]


def milestones_of(session: Session) -> list[str]:
    """The ids of the milestones that were made of a planning session."""
    made = read_stored(session["configuration"], "the configuration").get("milestones")
    return made if isinstance(made, list) else []


def free_milestone_id(store: Storage, milestone_id: str, session_id: str) -> str:
    """An id under which a session's milestone can be made: this one, or if it has a record, with a number."""
    wanted, number = milestone_id, 1
    while has_other_record(store, wanted, session_id):
        number += 1
        wanted = f"{milestone_id}-{number}"
    return wanted


def has_other_record(store: Storage, milestone_id: str, session_id: str) -> bool:
    """Whether a milestone has a record other than one that a run for this session, killed half-way, has left."""
    text = find_record(store, milestone_id)
    return text is not None and "\n" + dump_yaml({"planning_session": session_id}) not in text
