"""What the values of an earlier tool's database become: the nearest that the schema allows, with a note of the rest."""
from __future__ import annotations

import json

from .. import vocabulary
from ..errors import UsageError
from ..times import format_time, parse_time
from ..values import is_json, parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .interface import Row

NOWHERE = "execution-taken-over"  # the session of what named none
TO_ALL = ""  # the recipient of a message to everyone
TIMES = ("last_activity", "spawn_time", "last_heartbeat", "completion_time", "retention_until", "timestamp")
# What other tools call the words of a vocabulary.
SYNONYMS = {
    "active": "running working busy idle ready online started in_progress open processing",
    "spawning": "pending starting initializing initialising queued new",
    "paused": "waiting blocked suspended on_hold interrupted",
    "completed": "complete done finished success succeeded closed",
    "failed": "error errored crashed stale timeout timed_out dead lost",
    "terminated": "stopped killed cancelled canceled aborted shutdown",
    "abandoned": "cancelled canceled aborted terminated stopped killed",
    "healthy": "ok good active alive normal", "degraded": "warning slow unknown",
    "failing": "error critical failed unhealthy", "unresponsive": "dead stale timeout lost offline",
    "planning": "plan", "execution": "execute implementation development", "validation": "validate test testing review",
    "recovery": "recover", "cleanup": "clean", "execute": "execution implementation development",
    "spec": "specification", "task": "tasks", "automatic": "auto periodic scheduled", "manual": "user",
    "phase_completion": "phase phase_complete milestone", "error_recovery": "error recovery failure",
}
PRIORITIES = {"urgent": 10, "critical": 10, "highest": 10, "high": 8, "normal": 5, "medium": 5, "low": 3, "lowest": 1}
WORDS: dict[str, tuple[tuple[str, ...], str | None]] = {  # column: its vocabulary, and what an unknown word becomes
    "agent_registry.status": (vocabulary.AGENT_STATUSES, "active"),
    "coordination_sessions.status": (vocabulary.SESSION_STATUSES, "active"),
    "operation_type": (vocabulary.OPERATION_TYPES, "execution"),
    "phase": (vocabulary.PHASES, None),
    "current_phase": (vocabulary.PHASES, None),
    "state_type": (vocabulary.STATE_TYPES, "user_data"),
    "checkpoint_type": (vocabulary.CHECKPOINT_TYPES, "manual"),
    "health_status": (vocabulary.HEALTH_STATUSES, "degraded"),
}
OWN_WORDS = {"agent_type": (vocabulary.AGENT_TYPES, "unregistered"),  # the same, where x-… is allowed
             "message_type": (vocabulary.MESSAGE_TYPES, "x-unknown")}
NUMBERS: dict[str, tuple[float, float, float]] = {  # column: least, most, what it is where there is none
    "agent_count": (0, 2 ** 53, 0), "progress": (0, 100, 0), "agent_messages.priority": (1, 10, 5),
    "retry_count": (0, 2 ** 53, 0), "error_count": (0, 2 ** 53, 0), "warning_count": (0, 2 ** 53, 0),
    "version": (1, 2 ** 53, 1),
}
MEASURES = ("cpu_usage", "memory_usage", "response_time")
EMPTY = {"milestone_id": None, "coordinator_id": None, "current_task": None, "error_info": None, "file_path": None,
         "state_value": "", "value": "", "session_id": NOWHERE, "from_agent": "unknown", "to_agent": TO_ALL}


def fit_row(table: str, row: Row, columns: dict[str, bool]) -> tuple[Row, Row]:
    """A row as the table takes it, and what of it that does not tell; `columns`: which there are, and must be set."""
    fitted, lost = {}, {name: value for name, value in row.items() if name not in columns and value is not None}
    for name in columns:
        value = _fit(table, name, row.get(name))
        fitted[name] = value
        if name in row and not _tells(name, row[name], value):
            lost[name] = row[name]
    _complete(table, row, fitted, columns)
    return fitted, lost


def _fit(table: str, name: str, value: Any) -> Any:
    full = f"{table}.{name}"
    words, own, number = WORDS.get(full) or WORDS.get(name), OWN_WORDS.get(name), NUMBERS.get(full) or NUMBERS.get(name)
    if words:
        return fit_word(value, *words) if _text(value) or name not in ("phase", "current_phase") else None
    if own:
        known = fit_word(value, own[0], None)
        return known or (_own_word(_text(value)) if _text(value) else own[1])
    if number and not (table == "milestones" and name == "priority"):
        return _fit_number(value, *number)
    if name in MEASURES:
        return _number(value)
    if name in TIMES or name.endswith("_at"):
        return fit_time(value)
    if name == "id" and table != "milestones":
        return value if isinstance(value, int) else None
    if name in ("configuration", "resource_usage", "payload"):
        return as_object(value)
    if name == "capabilities":
        return _as_json([item if isinstance(item, str) else _as_json(item) for item in _items(value)])
    if name == "file_references":
        return _as_json([_file_reference(item) for item in _items(value)])
    if not _text(value):
        return EMPTY.get(name, value)
    return _text(value)


def _tells(name: str, old: Any, new: Any) -> bool:
    """Whether the new value says all that the old one did."""
    if old is None or old == "" or old == new or str(old) == new:
        return True
    if name in TIMES or name.endswith("_at"):
        return new is not None
    if isinstance(new, (int, float)) and not isinstance(old, (int, float)):
        return _number(old) == new
    if name in ("configuration", "resource_usage", "payload", "capabilities", "file_references", "state_snapshot"):
        return _is_clean(old)
    return isinstance(new, str) and new == _own_word(str(old))


def _own_word(word: str) -> str:
    return word if vocabulary.is_own(word) else "x-" + word


def _text(value: Any) -> str:
    """Any value as text that every backend can hold."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    text = "" if value is None else str(value)
    return text if _is_clean(text) else "".join(c if _is_clean(c) else "\ufffd" for c in text)


def _is_clean(value: Any) -> bool:
    """Whether text holds nothing but characters: no NUL, and no bytes that are not UTF-8."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def _as_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if _is_clean(text) else json.dumps(value, separators=(",", ":"))


def fit_word(value: Any, known: tuple[str, ...], default: str | None) -> str | None:
    """The word of a vocabulary that a word of another tool means."""
    plain = _plain_word(_text(value))
    for word in known:
        if plain == _plain_word(word) or plain in SYNONYMS.get(word, "").split():
            return word
    near = [word for word in known if plain.startswith(word) or plain.endswith("_" + word)]
    return near[0] if near and len(known) < 9 else default  # a long list is one of words that may be anybody's own


def _plain_word(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def _number(value: Any) -> float | int | None:
    try:
        number = float(_text(value).strip().rstrip("%"))
    except ValueError:
        return None
    if not abs(number) < 1e300:
        return None
    return int(number) if number == int(number) else number


def _fit_number(value: Any, least: float, most: float, default: float) -> float:
    number = _number(value)
    if number is None:
        number = PRIORITIES.get(_text(value).lower(), default) if least == 1 and most == 10 else default
    number = min(max(number, least), most)
    return number if most == 100 else int(number)


def fit_time(value: Any) -> str | None:
    """A time in any of the usual forms as the schema holds it; None if it is none."""
    number = _number(value)
    if number is not None:  # seconds since 1970, or milliseconds
        return format_time(number / 1000 if number > 1e11 else number) if 1e8 < number < 1e14 else None
    text = _text(value).strip()
    if text[-5:-4] in ("+", "-") and text[-4:].isdigit() and ":" in text:  # +0200, as date(1) writes it
        text = text[:-2] + ":" + text[-2:]
    main, dot, fraction = text.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    if dot:  # older Pythons read three digits or six
        text = f"{main}.{fraction[:digits][:3].ljust(3, '0')}{fraction[digits:]}"
    try:
        return format_time(parse_time(text))
    except (ValueError, OverflowError, UsageError):
        return None


def _parsed(value: Any) -> Any:
    """What a JSON column holds: the value, or the text itself where it is no JSON."""
    text = _text(value)
    return parse_json(text) if is_json(text) else text


def as_object(value: Any) -> str:
    """A JSON object that holds the value: itself, or under `value` if it is other JSON, under `text` if it is none."""
    text = _text(value)
    if not text:
        return "{}"
    parsed = _parsed(text)
    if isinstance(parsed, dict):
        return text
    return _as_json({"text" if not is_json(text) else "value": parsed})


def _items(value: Any) -> list[Any]:
    parsed = _parsed(value)
    return parsed if isinstance(parsed, list) else [] if parsed in ("", None) else [parsed]


def _file_reference(item: Any) -> Row:
    """A file as a checkpoint names it; without a digest nothing is known of what has become of it since."""
    if isinstance(item, dict) and isinstance(item.get("path"), str):
        return {"size": None, "sha256": None, **item}
    return {"path": item if isinstance(item, str) else _as_json(item), "size": None, "sha256": None}


def _complete(table: str, row: Row, fitted: Row, columns: dict[str, bool]) -> None:
    """What depends on more than one column; a column that must be set and is not is left to its default."""
    known = sorted(value for name, value in fitted.items() if value and (name in TIMES or name.endswith("_at"))
                   and name not in ("expires_at", "retention_until"))
    for name, needed in columns.items():
        if needed and fitted[name] is None:
            fitted[name] = known[0] if known and (name in TIMES or name.endswith("_at")) else None
    if table == "coordination_sessions" and not _text(row.get("operation_type")):
        fitted["operation_type"] = fit_word(_text(row.get("session_id")).partition("-")[0],
                                            vocabulary.OPERATION_TYPES, "execution")
    if table == "agent_messages":
        fitted["acknowledged_at"] = fitted["acknowledged_at"] or fitted["processed_at"]
        fitted["delivered_at"] = fitted["delivered_at"] or fitted["acknowledged_at"]
    if table == "agent_state":
        fitted["is_json"] = int(is_json(fitted["state_value"]))
    if table == "agent_checkpoints":
        fitted["state_snapshot"] = _snapshot(row.get("state_snapshot"), fitted["created_at"])
    for name, needed in columns.items():
        if needed and fitted[name] is None:
            del fitted[name]


def _snapshot(value: Any, made: str | None) -> str:
    """A checkpoint's snapshot in the form that restoring reads: an object, or a list of keys, becomes `state`."""
    parsed = _parsed(value)
    inner = parsed.get("state") if isinstance(parsed, dict) else None
    if isinstance(inner, (dict, list)):
        listed = inner
    else:
        listed = parsed if isinstance(parsed, (dict, list)) else []
    items = list(listed.items()) if isinstance(listed, dict) else [_key_and_value(item) for item in listed]
    state = [_state_item(key, content, made) for key, content in items if key]
    outer = parsed if inner is listed and isinstance(parsed, dict) else {}
    return _as_json({"agent": {}, "messages": [], **outer, "state": state, "taken_over": parsed})


def _key_and_value(item: Any) -> tuple[str, Any]:
    if not isinstance(item, dict):
        return "", None
    return str(item.get("state_key") or item.get("key") or ""), item.get("state_value", item.get("value"))


def _state_item(key: str, content: Any, made: str | None) -> Row:
    text = content if isinstance(content, str) else _as_json(content)
    return {"state_key": key, "state_value": text, "state_type": "user_data", "version": 1,
            "is_json": int(is_json(text)), "created_at": made, "updated_at": made, "expires_at": None}
