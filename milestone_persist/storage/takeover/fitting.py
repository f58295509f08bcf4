"""Converts values of an earlier tool's database to the nearest that the schema allows, with a note of the rest."""
from __future__ import annotations

from functools import lru_cache

from ...base import vocabulary
from ...base.errors import UsageError
from ...base.times import format_time, parse_time
from ...base.values import is_json, is_own
from .texts import JSON_COLUMNS, as_text, fit_snapshot, is_clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..interface import Row

NOWHERE = "execution-taken-over"  # the session of what named none
TO_ALL = ""  # the recipient of a message to everyone
TIMES = ("last_activity", "spawn_time", "last_heartbeat", "completion_time", "retention_until", "lease_until",
         "timestamp")
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
         "state_value": "", "value": "", "session_id": NOWHERE, "agent_id": "unknown", "state_key": "unknown",
         "from_agent": "unknown", "to_agent": TO_ALL}


def fit_row(table: str, row: Row, columns: dict[str, bool]) -> tuple[Row, Row]:
    """A row that fits the table, and the values that it lost; `columns`: which exist, and must be set."""
    fitted, lost = {}, {name: value for name, value in row.items() if name not in columns and value is not None}
    for name in columns:
        value = _kind(table, name)(row.get(name))
        fitted[name] = value
        if name in row and not _tells(name, row[name], value):
            lost[name] = row[name]
    _complete(table, row, fitted, columns)
    return fitted, lost


@lru_cache(None)
def _kind(table: str, name: str) -> Callable[[Any], Any]:
    """The function that makes a column's value fit."""
    full, is_time = f"{table}.{name}", name in TIMES or name.endswith("_at")
    words, own, number = WORDS.get(full) or WORDS.get(name), OWN_WORDS.get(name), NUMBERS.get(full) or NUMBERS.get(name)
    if words:
        known, default = words
        return lambda value: fit_word(as_text(value), known, default)
    if own:
        named, unnamed = own
        return lambda value: fit_word(as_text(value), named, _own_word(as_text(value)) if as_text(value) else unnamed)
    if number:
        least, most, usual = number
        return lambda value: _fit_number(value, least, most, usual)
    if name == "id" and table != "milestones":
        return lambda value: value if isinstance(value, int) else None
    return fit_time if is_time else _number if name in MEASURES else JSON_COLUMNS.get(name) or (
        lambda value: as_text(value) if value not in (None, "", b"") else EMPTY.get(name, value))


def _tells(name: str, old: Any, new: Any) -> bool:
    """Whether the new value preserves the old one."""
    if old is None or old == "" or old == new or str(old) == new:
        return True
    if name in TIMES or name.endswith("_at"):
        return new is not None
    if isinstance(new, (int, float)) and not isinstance(old, (int, float)):
        return _number(old) == new
    if name in JSON_COLUMNS or name == "state_snapshot":
        return is_clean(old)
    return isinstance(new, str) and new == _own_word(str(old))


def _own_word(word: str) -> str:
    return word if is_own(word) else "x-" + word


@lru_cache(1000)
def fit_word(text: str, known: tuple[str, ...], default: str | None) -> str | None:
    """The word of a vocabulary for a word of another tool; the default if there is none."""
    plain = _plain_word(text)
    for word in known if plain else ():
        if plain == _plain_word(word) or plain in SYNONYMS.get(word, "").split():
            return word
    near = [word for word in known if plain.startswith(word) or plain.endswith("_" + word)]
    return near[0] if near and len(known) < 9 else default  # a long list is one of words that may be anybody's own


def _plain_word(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def _number(value: Any) -> float | int | None:
    try:
        number = float(as_text(value).strip().rstrip("%"))
    except ValueError:
        return None
    if not abs(number) < 1e300:
        return None
    return int(number) if number == int(number) else number


def _fit_number(value: Any, least: float, most: float, default: float) -> float:
    number = _number(value)
    if number is None:
        number = PRIORITIES.get(as_text(value).lower(), default) if least == 1 and most == 10 else default
    number = min(max(number, least), most)
    return number if most == 100 else int(number)


@lru_cache(10000)
def fit_time(value: Any) -> str | None:
    """A time in any of the usual forms as the schema holds it; None if it is none."""
    number = _number(value)
    if number is not None:  # seconds since 1970, or milliseconds
        return format_time(number / 1000 if number > 1e11 else number) if 1e8 < number < 1e14 else None
    text = as_text(value).strip()
    if text[-5:-4] in ("+", "-") and text[-4:].isdigit() and ":" in text:  # +0200, as date(1) writes it
        text = text[:-2] + ":" + text[-2:]
    main, dot, fraction = text.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    if dot:  # older Pythons read three digits or six
        text = f"{main}.{fraction[:digits][:3].ljust(3, '0')}{fraction[digits:]}"
    try:
        stored = format_time(parse_time(text))
        return stored if len(stored) == len("2022-01-01 00:00:00.000") else None  # years of four digits
    except (ValueError, OverflowError, UsageError):
        return None


def _complete(table: str, row: Row, fitted: Row, columns: dict[str, bool]) -> None:
    """Fixes that depend on more than one column; a required column that is not set gets its default."""
    known = sorted(value for name, value in fitted.items() if value and (name in TIMES or name.endswith("_at"))
                   and name not in ("expires_at", "retention_until"))
    for name, needed in columns.items():
        if needed and fitted[name] is None:
            fitted[name] = known[0] if known and (name in TIMES or name.endswith("_at")) else None
    if table == "coordination_sessions" and not as_text(row.get("operation_type")):
        word = as_text(row.get("session_id")).partition("-")[0]
        fitted["operation_type"] = fit_word(word, vocabulary.OPERATION_TYPES, "execution")
    if table == "agent_messages":
        fitted["acknowledged_at"] = fitted["acknowledged_at"] or fitted["processed_at"]
        fitted["delivered_at"] = fitted["delivered_at"] or fitted["acknowledged_at"]
    if table == "agent_state":
        fitted["is_json"] = int(is_json(fitted["state_value"]))
    if table == "agent_checkpoints":
        fitted["state_snapshot"] = fit_snapshot(row.get("state_snapshot"), fitted["created_at"])
    for name, needed in columns.items():
        if needed and fitted[name] is None:
            del fitted[name]
