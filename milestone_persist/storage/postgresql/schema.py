"""The schema in a PostgreSQL database: created on first use, upgraded step by step, refused if it is newer."""
from __future__ import annotations

import os

from ...base.errors import StorageError, newer
from ...base.packaged import read_packaged
from ...base.tables import SCHEMA_VERSION
from .comparison import FACTS
from .psql import Failed
from .text import Filled, read_row, write_script, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..interface import Row
    from .psql import Psql

FILE = "milestone-coordination.postgresql.sql"

_MISSING = ("42P01", "3F000")  # SQLSTATE: no such table, no such schema; or there is one that may not be used
_FORBIDDEN = "42501"
_OTHERWISE = ("42703", "42883")  # no such column, none of that type
_VERSION = ("SELECT row_to_json(q) FROM (SELECT max(version) AS version, current_setting('server_version') AS server, "
            ":VERSION_NUM AS psql, "
            "(SELECT set_config('synchronous_commit', 'off', false) FROM agent_coordination_config "
            "WHERE key = 'synchronous' AND value = 'normal') AS commit FROM schema_version) AS q;")
_FOUND = ("SELECT row_to_json(q) FROM (SELECT to_regclass('schema_version') IS NOT NULL AS made, "
          "EXISTS (SELECT FROM pg_namespace WHERE nspname = {0} AND NOT has_schema_privilege(oid, 'USAGE')) AS closed) "
          "AS q;")
_SERVER = ("SELECT row_to_json(q) FROM (SELECT current_setting('server_version') AS server, "
           "current_setting('server_version_num')::integer AS number, "
           "current_setting('server_encoding') AS encoding) AS q;")


class Schema:
    """What a connection found or made: `version`, the `server`'s own, and `ephemeral`: never committed.

    facts: how what was found looks, not compared yet
    """

    def __init__(self, psql: Psql, settings: str, name: str, guard: str, create: bool) -> None:
        """Enter the schema `name`; `guard` is the statement that excludes everyone else while it is created or changed.

        settings: statements for the connection, run before anything else
        create: whether it is made if it is not there; otherwise an empty one that leaves no trace is entered.
        StorageError if it cannot be used; Failed and Lost as psql raises them.
        """
        self.ephemeral = False
        self.facts: list[bytes] = []
        found = self._enter(psql, settings, name) or _look_closer(psql, name)
        if found is None:
            _require_suitable(psql)
            if create:
                _bring_up_to_date(psql, name, guard)
            else:
                self.ephemeral = True
                _enter_empty(psql)
            found = _read_version(psql, name) or {}
        elif found["version"] < SCHEMA_VERSION:
            try:
                _bring_up_to_date(psql, name, guard)
            except Failed as error:
                if error.state == _FORBIDDEN:
                    raise _not_the_owner(name, found["version"], error) from None
                raise
            found["version"], self.facts = SCHEMA_VERSION, []
        self.version, self.server, psql.version = found["version"], found["server"], found["psql"]
        if self.version > SCHEMA_VERSION:
            raise newer(f"the schema {name}", self.version, SCHEMA_VERSION)

    def _enter(self, psql: Psql, settings: str, name: str) -> Row | None:
        """Set up the connection, and read the state of the schema in the same round trip."""
        before = f"{settings}\\; SET search_path = {name}, pg_temp;\n{Filled(FACTS).write_rows()};\n"
        return _read_version(psql, name, before, self.facts)


def _read_version(psql: Psql, name: str, before: str = "", facts: list[bytes] | None = None) -> Row | None:
    """The version; `facts` gets the rows of what is asked before it."""
    try:
        *lines, last = psql.ask(before + _VERSION)
        if facts is not None:
            facts += lines
        found = read_row(last)
    except Failed as error:
        if error.state in _OTHERWISE:
            raise _foreign(name) from None
        if error.state not in _MISSING:
            raise
        return None
    if not isinstance(found["version"], int):
        raise _foreign(name)
    return found


def _look_closer(psql: Psql, name: str) -> Row | None:
    """Why no version could be read; None if there is none, or it may have just been created."""
    state = read_row(psql.ask(_FOUND.format(write_text(name.strip('"'))))[0])
    if state["closed"]:
        raise StorageError(f"this user may not use the schema {name}: GRANT USAGE ON SCHEMA and rights on its tables, "
                           "or name another schema in MILESTONE_DATABASE_SCHEMA")
    if not state["made"]:
        return None
    found = _read_version(psql, name)
    if found is None:
        raise _foreign(name)
    return found


def _foreign(name: str) -> StorageError:
    return StorageError(f"the schema {name} belongs to another program, which has a table schema_version of its own: "
                        "name another schema in MILESTONE_DATABASE_SCHEMA")


def _not_the_owner(name: str, version: int, error: Failed) -> StorageError:
    return StorageError(f"the schema {name} has schema version {version} and is to be brought to {SCHEMA_VERSION}, "
                        f"which this user may not do ({error.message}): run any call once as the owner of its tables, "
                        "who needs CREATE on the database for that")


def _require_suitable(psql: Psql) -> None:
    """StorageError if this server or database cannot hold a store."""
    found = read_row(psql.ask(_SERVER)[0])
    if found["number"] < 110000:
        raise StorageError(f"PostgreSQL {found['server']} is too old: 11 or newer is needed")
    if found["encoding"] != "UTF8":
        raise StorageError(f"the database's encoding is {found['encoding']}, and UTF8 is needed: "
                           "createdb -T template0 -E UTF8 NAME, and name that one in MILESTONE_DATABASE_URL")


def _bring_up_to_date(psql: Psql, name: str, guard: str) -> None:
    """Create or upgrade the schema, completely or not at all; one of several processes does it."""
    psql.ask(f"BEGIN\\; {guard};")
    try:
        # Looking at a catalog, the server hears what others have committed; else it may remember that there is none.
        psql.ask(f"SELECT FROM pg_namespace LIMIT 0\\; CREATE SCHEMA IF NOT EXISTS {name};")
        found = _look_closer(psql, name)  # asking for the version of what is not there would end the transaction
        version = found["version"] if found else 0
        if version == 0:
            _make_schema(psql)
        elif version < SCHEMA_VERSION:
            from ..steps import take_steps
            from .reshaping import reshape

            reshape(psql, name)
            take_steps(version, lambda sql: psql.ask(write_script(sql)))
        psql.ask("COMMIT;")
    except BaseException:
        if psql.pid:
            psql.ask("ROLLBACK;")
        raise


def _enter_empty(psql: Psql) -> None:
    name = f'"milestone_persist_empty_{os.urandom(6).hex()}"'
    psql.ask(f"BEGIN\\; CREATE SCHEMA {name}\\; SET LOCAL search_path = {name}, pg_temp;")
    _make_schema(psql)


def _make_schema(psql: Psql) -> None:
    psql.ask(write_script(read_packaged("sql", FILE)))
