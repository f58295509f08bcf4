"""The portable SQL on a PostgreSQL database, which several machines may share; reached through psql."""
from __future__ import annotations

from ...base.errors import Busy, MilestoneError, StorageError, UsageError
from ...base.tables import NUMBERED
from ..backends import POSTGRESQL
from ..directory import create_directory
from ..interface import READ_TOMBSTONE, Storage, Transaction
from .psql import Failed, Lost, Psql
from .schema import Schema
from .text import is_write, read_row, write_statement, write_text
from .url import DatabaseUrl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ...base.answers import Description
    from ..call import Clock
    from ..interface import Params

BUSY_SECONDS = 30
OUTCOME_TRIES = 50
# Keys whose transactions change only what that key guards, and the heartbeats and events that any may add.
# Each keeps out its own key and shares the store; a transaction under any other key has the store for itself.
_NARROW = ("agent:", "inbox:", "milestone:", "events")

_LIMITS = ("SET standard_conforming_strings = on\\; SET extra_float_digits = 3\\; SET client_min_messages = error\\; "
           f"SET lock_timeout = '{BUSY_SECONDS}s'\\; SET statement_timeout = '{2 * BUSY_SECONDS}s'\\; "
           f"SET idle_in_transaction_session_timeout = '{10 * BUSY_SECONDS}s'\\; "
           "SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval';")
# Asked before a read outside of a transaction: another machine may have moved the rows.
_TOMBSTONE = f"SELECT row_to_json(q) FROM (SELECT (SELECT value FROM ({READ_TOMBSTONE}) AS tombstone) AS value) AS q;\n"


class PostgresqlStorage(Storage):
    """A store in a schema of a PostgreSQL database, made when it is first used; `directory` has its logs and settings.

    Where nothing is to be made and there is none, an empty one that is never committed.
    """

    backend = POSTGRESQL
    poll_seconds = 0.2  # each look is a question to the server

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str], create: bool, url: str) -> None:
        super().__init__(directory, clock, environ)
        self.target = DatabaseUrl(url, environ)
        self._create = create
        self._begun = False
        self._broken = ""  # why the transaction cannot be committed
        if create:
            create_directory(directory)
        self.psql, self._schema = self._connect()

    def _connect(self) -> tuple[Psql, Schema]:
        psql = Psql(self.target.url, self.target.variables)
        try:
            psql.ask(_LIMITS)
            return psql, Schema(psql, self.target.quoted_schema, self._lock(""), self._create)
        except Lost as loss:
            raise self.target.explain(loss.text) from None
        except Failed as error:
            psql.stop()
            raise self._explain(error) from None
        except BaseException:
            psql.stop()
            raise

    @property
    def _wait_seconds(self) -> float:
        return BUSY_SECONDS if self.lock_timeout is None else self.lock_timeout

    def transaction(self, lock: str = "") -> Transaction:
        return Transaction(self, lambda: self._begin_write(lock))

    def snapshot(self) -> Transaction:
        return Transaction(self, lambda: self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;"))

    def _begin_write(self, lock: str) -> None:
        locks = [self._lock("", "_shared"), self._lock(lock)] if lock.startswith(_NARROW) else [self._lock("")]
        wait = "" if self.lock_timeout is None else f"SET LOCAL lock_timeout = '{1000 * self.lock_timeout:.0f}ms'\\; "
        self._begin("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE\\; " + wait
                    + "\\; ".join("SELECT " + each for each in locks) + ";")

    def _lock(self, key: str, mode: str = "") -> str:
        """The call that takes a lock until the end of the transaction; an agent's inbox and the agent are one key."""
        key = "agent:" + key[6:] if key.startswith("inbox:") else key
        text = write_text(f"{self.target.schema}:{key}")
        return f"pg_advisory_xact_lock{mode}(hashtextextended({text}, 0))"

    def _begin(self, sql: str) -> None:
        if self._schema.ephemeral:
            return
        try:
            self._ask(sql, repeatable=True)
        except MilestoneError:
            self._begun = True  # a lock that was not to be had leaves a transaction behind
            self.rollback()
            raise
        self._begun = True

    def lock_membership(self) -> None:
        if not self._schema.ephemeral:
            self._ask(f"SELECT {self._lock('membership')};")

    def execute(self, sql: str, params: Params = {}) -> list[Any]:
        self.refuse_stopped()
        statement = write_statement(sql, params)
        if is_write(sql) or self._in_transaction or self.note_stamp is None:
            return [read_row(line) for line in self._ask(statement, repeatable=not is_write(sql))]
        tombstone, *rows = [read_row(line) for line in self._ask(_TOMBSTONE + statement, repeatable=True)]
        self.refuse_moved([tombstone] if tombstone["value"] else [])
        return rows

    def _ask(self, request: str, repeatable: bool = False) -> list[bytes]:
        """The rows of the answer. A lost connection is made again: then what is `repeatable` is asked once more."""
        if self._broken:
            raise StorageError(self._broken)
        try:
            return self._ask_again(request) if repeatable and not self._in_transaction else self.psql.ask(request)
        except Lost as loss:
            raise self._break(self._lost(loss)) from None
        except Failed as error:
            raise self._break(self._explain(error)) from None

    @property
    def _in_transaction(self) -> bool:
        return self._begun or self._schema.ephemeral

    def _ask_again(self, request: str) -> list[bytes]:
        try:
            return self.psql.ask(request)
        except Lost:
            self._reconnect()
            return self.psql.ask(request)

    def _reconnect(self) -> None:
        self.psql.stop()
        self.psql, self._schema = self._connect()

    def _break(self, error: MilestoneError) -> MilestoneError:
        """Note that PostgreSQL will do nothing more in this transaction."""
        if self._begun:
            self._broken = str(error)
        return error

    def _lost(self, loss: Lost) -> StorageError:
        reason = loss.text.partition("\n")[0].strip()
        return StorageError(f"the connection to {self.target.shown} was lost ({reason}); nothing was changed: "
                            "try again")

    def commit(self) -> None:
        if self._schema.ephemeral:
            return
        if self._broken:
            text = self._broken
            self.rollback()
            raise StorageError(text)
        self._begun = False
        try:
            self.psql.ask("SELECT row_to_json(q) FROM (SELECT txid_current_if_assigned() AS id) AS q;\nCOMMIT;")
        except Lost as loss:
            self._resolve_commit(loss)
        except Failed as error:
            raise self._explain(error) from None

    def _resolve_commit(self, loss: Lost) -> None:
        """The connection was lost in a commit: return if it was done all the same, else raise."""
        if loss.rows:
            number = read_row(loss.rows[0])["id"]
            outcome = self._find_outcome(number) if number else "committed"  # it had changed nothing
        else:
            outcome = "aborted" if self.psql.ended_by_itself else "unknown"  # psql did not come to the commit
        if outcome == "aborted":
            raise self._lost(loss)
        if outcome != "committed":
            raise StorageError(f"the connection to {self.target.shown} was lost during a commit, and whether that was "
                               "done is not known: look before you do it again")

    def _find_outcome(self, number: int) -> str:
        """What became of a transaction, as the server tells over a new connection: committed, aborted or unknown."""
        sql = f"SELECT row_to_json(q) FROM (SELECT txid_status({number}) AS status) AS q;"
        for _ in range(OUTCOME_TRIES):
            try:
                status = read_row(self._ask_again(sql)[0])["status"]
                if status != "in progress":
                    return status or "unknown"
            except (StorageError, Lost, Failed):  # the server is not up again yet
                pass
            self.clock.sleep(0.1)
        return "unknown"

    def rollback(self) -> None:
        """Undo the transaction. Where the connection is gone, the server has done that or will."""
        begun, self._begun, self._broken = self._begun, False, ""
        if begun and self.psql.pid:
            try:
                self.psql.ask("ROLLBACK;")
            except (Lost, Failed):
                self.psql.stop()

    def sequence_values(self) -> dict[str, int]:
        return {table: self.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS number "
                                    f"FROM {table}_id_seq")[0]["number"] for table in NUMBERED}

    def advance_sequences(self, numbers: Mapping[str, int] = {}) -> None:
        for table in NUMBERED:
            self.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest(max(id), :given)) AS latest "
                         f"FROM {table} HAVING greatest(max(id), :given) >= (SELECT last_value FROM {table}_id_seq)",
                         {"given": numbers.get(table, 0)})

    def describe(self) -> Description:
        return {"backend": self.backend.word, "engine": f"PostgreSQL {self._schema.server}", "journal_mode": "wal",
                "database": f"{self.target.shown} schema {self.target.schema}", "exists": not self._schema.ephemeral,
                "schema_version": self._schema.version}

    def check(self) -> list[str]:
        from .comparison import OURS, compare_schema

        return compare_schema(self.execute) + [row["wrong"] for row in self.execute(
            OURS + "SELECT 'constraint ' || conname || ' of ' || relname || ' was never checked: VALIDATE it' AS wrong "
            "FROM pg_constraint JOIN ours ON ours.oid = conrelid WHERE NOT convalidated "
            "UNION ALL SELECT 'trigger ' || tgname || ' of ' || relname || ' is switched off: ENABLE it' "
            "FROM pg_trigger JOIN ours ON ours.oid = tgrelid WHERE tgenabled = 'D' "
            "UNION ALL SELECT 'index ' || relname || ' is not valid: REINDEX it' "
            "FROM pg_index JOIN ours ON ours.oid = indexrelid WHERE NOT indisvalid")]

    def close(self) -> None:
        self.psql.stop()

    def _explain(self, error: Failed) -> MilestoneError:
        """The server's refusal as one of our errors, by its SQLSTATE."""
        state, target, text = error.state, self.target.shown, error.message
        if state[:2] in ("23", "22", "P0"):
            return UsageError(f"refused by the database: {text}")
        if state == "54000":
            return UsageError(f"refused by the database: an id or key is longer than PostgreSQL can index ({text})")
        if state in ("55P03", "57014", "40001", "40P01"):
            return Busy(f"{target} is busy: another process has been writing for {self._wait_seconds:g} s; try again")
        if state == "42501":
            return StorageError(f"{target}: {text}; GRANT it to this user, CREATE on the database for the first use")
        if state[:2] == "53":
            return StorageError(f"{target}: {text}; make room on the server, then try again")
        if state == "25006":
            return StorageError(f"{target} is read-only ({text}): name the primary server in MILESTONE_DATABASE_URL")
        return StorageError(f"{target}: {text} (SQLSTATE {state})")
