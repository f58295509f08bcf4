"""The settings kept in agent_coordination_config: their kinds, defaults and checks."""
from __future__ import annotations

from ..base.errors import UsageError
from ..storage.backends import DATABASE, FILE, HYBRID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..storage.interface import Statement, Storage

# key: (kind, default). Descriptions are in the schema, which also makes the rows.
SETTINGS = {
    "heartbeat_interval": ("count", "30"),
    "message_retry_limit": ("count", "3"),
    "interrupted_after": ("count", "300"),
    "session_timeout": ("count", "1800"),
    "checkpoint_interval": ("count", "300"),
    "health_check_interval": ("count", "60"),
    "cleanup_retention_days": ("count", "7"),
    "strict_agents": ("flag", "false"),
    "planning_artifacts": ("words", "planning-scope planning-estimates planning-risks planning-kiro milestone-plan"),
    "agent_spawn_command": ("text", ""),
    "synchronous": ("full or normal", "full"),
    "hybrid_from": ("count", "25"),
    "database_from": ("count", "100"),
}
COMMANDS = ("agent_spawn_command",)  # whose text is run: never taken from a file that others may have made
MAY_BE_ZERO = ("message_retry_limit", "cleanup_retention_days")
_ALL = "SELECT key, value FROM agent_coordination_config ORDER BY key"
_FLAGS = {"true": "true", "1": "true", "yes": "true", "on": "true",
          "false": "false", "0": "false", "no": "false", "off": "false"}


def check_setting(key: str, value: str) -> str:
    """The value to store; UsageError for an unknown key or a value of the wrong kind."""
    if key in ("backend", "storage_backend"):
        from ..base.quoting import command

        raise UsageError(f"{key} is not a setting: {command(['migrate_storage_backend', value])} moves the rows")
    if key not in SETTINGS:
        from ..base.suggestions import offer, suggest_names

        raise UsageError(f"unknown setting {key!r}: " + offer(suggest_names(key, tuple(SETTINGS)),
                                                              "get_storage_config lists them"))
    kind, word = SETTINGS[key][0], value.strip()
    if kind == "count":
        least = 0 if key in MAY_BE_ZERO else 1
        if not (word.isascii() and word.isdigit() and len(word) < 10 and int(word) >= least):
            raise UsageError(f"{key} must be a whole number from {least}, not {value!r}")
    if kind == "flag" and word.lower() not in _FLAGS:
        raise UsageError(f"{key} must be true or false, not {value!r}")
    if kind == "full or normal" and word.lower() not in ("full", "normal"):
        raise UsageError(f"{key} must be full or normal, not {value!r}")
    if kind == "words" and not word:
        raise UsageError(f"{key} must name at least one word")
    return _FLAGS[word.lower()] if kind == "flag" else word


def read_settings(store: Storage) -> dict[str, str]:
    """Every effective setting."""
    settings, wrong = _sort_out(store, SETTINGS)
    for text in wrong:
        store.warn(f"setting ignored: {text}")
    return settings


def read_setting(store: Storage, key: str) -> str:
    """One effective setting; the default if the stored one is missing or was corrupted by hand."""
    settings, wrong = _sort_out(store, [key])
    for text in wrong:
        store.warn(f"setting ignored: {text}")
    return settings[key]


def find_corrupt_settings(store: Storage) -> list[str]:
    """A line for each stored setting that is unknown or conflicts with another."""
    settings, wrong = _sort_out(store, SETTINGS)
    disorder = _find_disorder("hybrid_from", settings)
    return wrong + ([disorder] if disorder else [])


def drop_corrupt_settings(store: Storage) -> list[str]:
    """Reset invalid settings to their defaults, within the caller's transaction; a line each."""
    lines = []
    for row in store.execute("SELECT key, value FROM agent_coordination_config ORDER BY key"):
        settings, wrong = _sort_out(store, [row["key"]]) if row["key"] in SETTINGS else ({}, [])
        if wrong:
            store.execute("UPDATE agent_coordination_config SET value = :value WHERE key = :key",
                          {"key": row["key"], "value": settings[row["key"]]})
            lines += wrong
    return lines


def ask_setting(key: str) -> Statement:
    """The query for one setting."""
    return "SELECT key, value FROM agent_coordination_config WHERE key = :key", {"key": key}


def _sort_out(store: Storage, keys: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The effective values of some settings, and a line for each that was corrupted by hand."""
    settings, wrong = {key: SETTINGS[key][1] for key in keys}, []
    for row in store.execute(*ask_setting([*settings][0]) if len(settings) == 1 else (_ALL, {})):
        key = row["key"]
        try:
            if key in settings:
                settings[key] = check_setting(key, row["value"])
        except UsageError as error:
            wrong.append(f"{error}; {settings[key]} is in force: set_storage_config {key} changes it")
    return settings, wrong


def _find_disorder(key: str, settings: Mapping[str, str]) -> str:
    """How a setting conflicts with others; "" if it does not."""
    if key not in ("hybrid_from", "database_from") or int(settings["hybrid_from"]) < int(settings["database_from"]):
        return ""
    what, other = ("less", "database_from") if key == "hybrid_from" else ("more", "hybrid_from")
    return f"{key} must be {what} than {other}, which is {settings[other]}: not {settings[key]!r}"


def read_count(store: Storage, key: str) -> int:
    """One setting that is a number."""
    return int(read_setting(store, key))


def is_strict(store: Storage) -> bool:
    """Whether unknown agents and agent types are refused."""
    return read_setting(store, "strict_agents") == "true"


def store_setting(store: Storage, key: str, value: str) -> None:
    """Store a checked value; UsageError if it conflicts with another setting."""
    wrong = _find_disorder(key, {**_sort_out(store, SETTINGS)[0], key: value})
    if wrong:
        raise UsageError(wrong)
    store.execute(
        "INSERT INTO agent_coordination_config (key, value, updated_at) VALUES (:key, :value, :now) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        {"key": key, "value": value, "now": store.now()})


def optimal_backend(store: Storage) -> str:
    """The backend that suits the number of milestones."""
    from ..records.index import count_milestones

    count = count_milestones(store)
    if count >= read_count(store, "database_from"):
        return DATABASE.word
    return (HYBRID if count >= read_count(store, "hybrid_from") else FILE).word
