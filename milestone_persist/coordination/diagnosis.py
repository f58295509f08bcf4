"""doctor's findings in the rows: invalid and future times, messages without a reader, invalid settings."""
from __future__ import annotations

from ..base.quoting import command_on
from ..base.tables import TABLES, TIMES, TO_COME, read_columns
from ..base.times import shift_time
from ..base.vocabulary import MOST_NAMED
from ..storage.findings import NOTE, finding
from ..storage.interface import ROW_COUNTS
from .future import TOLERANCE
from .settings import SETTINGS, find_corrupt_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..base.answers import Finding
    from ..storage.interface import Storage



def inspect_rows(store: Storage) -> list[Finding]:
    """Findings on the rows of a store whose tables can be read."""
    return [*_find_times(store), *(finding("settings", text) for text in find_corrupt_settings(store)),
            *_find_unknown_settings(store), *_find_dead_letters(store), *_find_unread(store)]


def _find_times(store: Storage) -> Iterator[Finding]:
    """Columns with invalid times, with times that do not compare with others, or with times in the future."""
    limit = shift_time(store.now(), TOLERANCE)
    for table, columns in read_columns().items():
        for column in sorted(columns & TIMES):
            corrupt = store.execute(f"SELECT * FROM {table} WHERE {column} NOT LIKE '____-__-__ __:__:__%' "
                                    f"ORDER BY {', '.join(TABLES[table])} LIMIT {MOST_NAMED}")
            for row in corrupt:
                key = "/".join(str(row[name]) for name in TABLES[table])
                yield finding(store.describe()["database"], f"{table}, row {key}: {column} is not a time: "
                              f"{row[column]!r}", "write it as 2026-01-31 09:30:00.000")
            if corrupt:
                continue
            if column not in TO_COME and table != "agent_coordination_config":  # where none is compared
                ahead = store.execute(f"SELECT count(*) AS n, max({column}) AS example FROM {table} "
                                      f"WHERE {column} > :limit", {"limit": limit})[0]
                if ahead["n"]:
                    yield finding(f"{table}.{column}", f"{table}.{column} of {ahead['n']} rows is in the future, as "
                                  f"{ahead['example']!r}", "a clock was ahead, or this one is behind; what begins in "
                                  "the future counts from now on", NOTE)


def _find_unknown_settings(store: Storage) -> Iterator[Finding]:
    for row in store.execute("SELECT key FROM agent_coordination_config ORDER BY key"):
        if row["key"] not in SETTINGS and row["key"] != ROW_COUNTS:
            yield finding("settings", f"{row['key']!r} is not a setting, and does nothing", "get_storage_config lists "
                          "those there are", NOTE)


def _find_dead_letters(store: Storage) -> Iterator[Finding]:
    for row in store.execute("SELECT to_agent, count(*) AS n, min(id) AS id FROM agent_messages "
                             "WHERE dead_lettered_at IS NOT NULL GROUP BY to_agent ORDER BY to_agent"):
        again = command_on("requeue_agent_message", [row["to_agent"], str(row["id"])])
        yield finding("messages", f"{row['n']} dead letter{'s' * (row['n'] != 1)} to {row['to_agent']}",
                      f"{again} requeues the first", NOTE)


def _find_unread(store: Storage) -> Iterator[Finding]:
    rows = store.execute(
        "SELECT m.to_agent, a.status, count(*) AS n FROM agent_messages m "
        "LEFT JOIN agent_registry a ON a.agent_id = m.to_agent WHERE m.delivered_at IS NULL "
        "AND m.dead_lettered_at IS NULL AND (a.status IS NULL OR a.status IN ('completed', 'failed', 'terminated')) "
        "GROUP BY m.to_agent, a.status ORDER BY m.to_agent")
    for row in rows:
        who = f"{row['to_agent']}, which has ended ({row['status']})" if row["status"] else (
            f"{row['to_agent']}, which is not registered")
        look = command_on("get_agent_messages", [row["to_agent"]])
        wait = "1 message waits" if row["n"] == 1 else f"{row['n']} messages wait"
        yield finding("messages", f"{wait} for {who}", f"{look} shows what is there; an agent that registers under "
                      "that id gets it", NOTE)
