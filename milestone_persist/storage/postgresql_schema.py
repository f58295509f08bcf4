"""The schema in a PostgreSQL database: made on first use, brought up to date step by step, refused if it is newer."""
from __future__ import annotations

import os

from ..errors import StorageError
from ..packaged import read_packaged
from .postgresql_text import read_row, write_text
from .psql import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .interface import Row
    from .psql import Psql

STEPS = ("milestone-coordination.postgresql.sql",)  # file n of sql/ brings a schema of version n - 1 to version n
NEWEST = len(STEPS)

_MISSING = ("42P01", "3F000")  # SQLSTATE: no such table, no such schema
_VERSION = ("SELECT row_to_json(q) FROM (SELECT max(version) AS version, current_setting('server_version') AS server, "
            "(SELECT set_config('synchronous_commit', 'off', false) FROM agent_coordination_config "
            "WHERE key = 'synchronous' AND value = 'normal') AS commit FROM schema_version) AS q;")
_SERVER = ("SELECT row_to_json(q) FROM (SELECT current_setting('server_version') AS server, "
           "current_setting('server_version_num')::integer AS number, "
           "current_setting('server_encoding') AS encoding) AS q;")


class Schema:
    """What a connection found or made: `version`, the `server`'s own, and whether it is `passing`: never committed."""

    def __init__(self, psql: Psql, name: str, guard: str, create: bool) -> None:
        """Enter the schema `name`; `guard` is the call that keeps out everybody else while it is made or changed.

        create: whether it is made if it is not there; otherwise an empty one that leaves no trace is entered.
        StorageError if it cannot be used; Failed and Lost as psql raises them.
        """
        self.passing = False
        psql.ask(f"SET search_path = {name}, pg_temp;")
        found = _read_version(psql)
        if found is None:
            _require_suitable(psql)
            if create:
                _take_steps(psql, name, guard)
            else:
                self.passing = True
                _enter_empty(psql)
            found = _read_version(psql) or {}
        elif found["version"] < NEWEST:
            _take_steps(psql, name, guard)
            found["version"] = NEWEST
        self.version, self.server = found["version"], found["server"]
        if self.version > NEWEST:
            raise StorageError(f"the schema {name} has version {self.version}, newer than this program's {NEWEST}: "
                               "use a newer milestone_persist")


def _read_version(psql: Psql) -> Row | None:
    try:
        return read_row(psql.ask(_VERSION)[0])
    except Failed as error:
        if error.state not in _MISSING:
            raise
        return None


def _require_suitable(psql: Psql) -> None:
    """StorageError if this server or database cannot hold a store."""
    found = read_row(psql.ask(_SERVER)[0])
    if found["number"] < 110000:
        raise StorageError(f"PostgreSQL {found['server']} is too old: 11 or newer is needed")
    if found["encoding"] != "UTF8":
        raise StorageError(f"the database's encoding is {found['encoding']}, and UTF8 is needed: "
                           "createdb -T template0 -E UTF8 NAME, and name that one in MILESTONE_DATABASE_URL")


def _take_steps(psql: Psql, name: str, guard: str) -> None:
    """Make the schema or bring it up to date, whole or not at all; of several processes one does it."""
    psql.ask(f"BEGIN\\; SELECT {guard};")
    try:
        psql.ask(f"CREATE SCHEMA IF NOT EXISTS {name};")
        made = read_row(psql.ask("SELECT row_to_json(q) FROM (SELECT to_regclass('schema_version') AS made) AS q;")[0])
        version = (_read_version(psql) or {})["version"] if made["made"] else 0
        for step in STEPS[version:]:
            _run_script(psql, step)
        psql.ask("COMMIT;")
    except BaseException:
        if psql.pid:
            psql.ask("ROLLBACK;")
        raise


def _enter_empty(psql: Psql) -> None:
    name = f'"milestone_persist_empty_{os.urandom(6).hex()}"'
    psql.ask(f"BEGIN\\; CREATE SCHEMA {name}\\; SET LOCAL search_path = {name}, pg_temp;")
    for step in STEPS:
        _run_script(psql, step)


def _run_script(psql: Psql, file: str) -> None:
    psql.ask(f"DO $do$ BEGIN EXECUTE {write_text(read_packaged('sql', file))}; END $do$;")
