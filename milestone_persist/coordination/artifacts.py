"""Planning artifacts: which a session has saved, and what is created from them."""
from __future__ import annotations

from ..base.tables import LIVE
from ..base.values import is_json, parse_json, read_stored
from ..base.yaml_text import dump_yaml
from .settings import read_setting
from .snapshots import list_displaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base.answers import Configured
    from ..storage.interface import Row, Storage

PLAN = "milestone-plan"
# A value as far as flaw_of wants it: JSON of that length says something, and is whole.
BRIEF = "CASE WHEN s.is_json = 1 AND length(s.state_value) > 4096 THEN '-' ELSE s.state_value END"


def expected_artifacts(store: Storage) -> list[str]:
    """The state keys a planning session is expected to save."""
    return read_setting(store, "planning_artifacts").split()


def flaw_of(text: str) -> str:
    """Why a value is not a result: it is `empty` (has no content) or `cut off` (truncated JSON); else ""."""
    text = text.strip()
    try:
        return "empty" if not text or _says_nothing(parse_json(text)) else ""
    except ValueError:
        return "cut off" if _is_cut_off(text) else ""


def _says_nothing(value: Any) -> bool:
    """Whether a JSON value contains only null, blank texts, and lists and objects of these."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, (dict, list)):
            left += value.values() if isinstance(value, dict) else value
        elif value is not None and not (isinstance(value, str) and not value.strip()):
            return False
    return True


def _is_cut_off(text: str) -> bool:
    """Whether a text that is not JSON is truncated JSON: nothing else is in it, and something is not closed."""
    import re

    if text[:1] not in ("{", "[", '"'):
        return False
    string = r'"(?:[^"\\]|\\.)*'
    match = re.compile(rf'{string}"|-?\d[\d.eE+-]*|true|false|null|[\s{{}}\[\]:,]', re.DOTALL).match
    end = depth = 0
    while found := match(text, end):  # and no search: behind an open string each quote would begin another
        end = found.end()
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
    rest = text[end:]
    open_string = re.fullmatch(string + r"\\?", rest, re.DOTALL)
    open_word = depth > 0 and (rest == "-" or any(word.startswith(rest) for word in ("true", "false", "null")))
    return bool(open_string or open_word)


def find_artifacts(store: Storage, session_id: str, columns: str = "s.state_value, s.version, s.updated_at",
                   flawed: bool = False) -> list[Any]:
    """The planning artifacts saved in a session, oldest first: the expected keys and all planning-* keys.

    columns: which there are beside agent_id, agent_type and state_key
    flawed: those that are no results, instead of the others; each with its flaw
    """
    keys = {f"key{number}": key for number, key in enumerate({*expected_artifacts(store), PLAN})}
    rows = store.execute(
        f"SELECT s.agent_id, a.agent_type, s.state_key, {BRIEF} AS brief, {columns} "
        f"FROM agent_state s JOIN agent_registry a ON a.agent_id = s.agent_id WHERE s.saved_in = :id AND {LIVE} "
        f"AND (substr(s.state_key, 1, 9) = 'planning-' OR s.state_key IN ({', '.join(':' + name for name in keys)})) "
        "ORDER BY s.updated_at, s.agent_id, s.state_key", {"id": session_id, "now": store.now(), **keys})
    displaced = [_with_type(store, row) for row in list_displaced(store, session_id)
                 if row["state_key"].startswith("planning-") or row["state_key"] in keys.values()]
    if displaced:
        rows = sorted(rows + displaced, key=lambda row: (row["updated_at"], row["agent_id"], row["state_key"]))
    for row in rows:
        row["flaw"] = flaw_of(row.pop("brief"))
    return [row for row in rows if bool(row["flaw"]) == flawed]


def _with_type(store: Storage, row: Row) -> Row:
    return {**row, "brief": row["state_value"], **store.execute(
        "SELECT agent_type FROM agent_registry WHERE agent_id = :id", {"id": row["agent_id"]})[0]}


def artifact_keys(store: Storage, session_id: str) -> list[str]:
    """The keys of the planning artifacts saved in a session, each once."""
    return sorted({row["state_key"] for row in find_artifacts(store, session_id, "s.updated_at")})


def artifact_value(row: Row) -> Any:
    """An artifact's value: parsed if it is JSON, else its text."""
    return parse_json(row["state_value"]) if is_json(row["state_value"]) else row["state_value"]


def milestones_of(session: Configured) -> list[str]:
    """The ids of the milestones created from a planning session."""
    made = read_stored(session["configuration"], "the configuration").get("milestones")
    return made if isinstance(made, list) else []


def free_milestone_id(store: Storage, milestone_id: str, session_id: str) -> str:
    """An id under which a session's milestone can be created: this one or, if it has a record, with a number."""
    wanted, number = milestone_id, 1
    while has_other_record(store, wanted, session_id):
        number += 1
        wanted = f"{milestone_id}-{number}"
    return wanted


def has_other_record(store: Storage, milestone_id: str, session_id: str) -> bool:
    """Whether a milestone has a record other than one left by a killed run for this session."""
    from ..records.record import find_record

    text = find_record(store, milestone_id)
    return text is not None and "\n" + dump_yaml({"planning_session": session_id}) not in text
