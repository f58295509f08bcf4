"""The portable SQL on a PostgreSQL database, which several machines may share; reached through psql."""
from __future__ import annotations

from ...base.errors import MilestoneError, StorageError
from ...base.tables import NUMBERED
from ..backends import POSTGRESQL
from ..directory import create_directory
from ..interface import READ_TOMBSTONE, Posted, Snapshot, Storage, Transaction
from .answers import LaterAnswer, explain, lost
from .psql import Failed, Lost, Psql
from .schema import Schema
from .text import READS, Filled, name_parameters, read_row
from .url import DatabaseUrl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ...base.answers import Description
    from ..call import Clock
    from ..interface import Params, Row, Statement

BUSY_SECONDS = 30
OUTCOME_TRIES = 50
ROWS_AT_ONCE = 500  # of one INSERT
# Keys whose transactions change only what that key guards, and the heartbeats and events that any may add.
# Each keeps out its own key and shares the store; a transaction under any other key has the store for itself.
_NARROW = ("agent:", "inbox:", "milestone:", "events")
MEMBERSHIP = "membership"  # taken within such a transaction

LIMITS = ("SET standard_conforming_strings = on\\; SET extra_float_digits = 3\\; SET client_min_messages = error\\; "
          "SET enable_seqscan = off\\; SET jit = off\\; "  # a plan made while a table was small is kept as it grows
          "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE\\; "
          f"SET lock_timeout = '{BUSY_SECONDS}s'\\; SET statement_timeout = '{2 * BUSY_SECONDS}s'\\; "
          f"SET idle_in_transaction_session_timeout = '{10 * BUSY_SECONDS}s'\\; "
          "SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'")
# Asked with what a transaction begins with, or a read outside of one: another machine may have moved the rows. The
# number of the transaction tells what became of it, should the connection be lost in its commit.
_READ_TOMBSTONE = f"SELECT (SELECT value FROM ({READ_TOMBSTONE}) AS tombstone) AS value"
_TOMBSTONE, _FIRST = Filled(_READ_TOMBSTONE), Filled(_READ_TOMBSTONE + ", txid_current() AS number")
# Taken in this order, until the end of the transaction; no row is given, so that psql prints none.
_LOCK = "SELECT WHERE pg_advisory_xact_lock(hashtextextended(:key, 0)) IS NULL"
_LOCK_NARROW = ("SELECT WHERE pg_advisory_xact_lock_shared(hashtextextended(:all, 0)) IS NULL "
                "OR pg_advisory_xact_lock(hashtextextended(:key, 0)) IS NULL")
# An empty store that is never committed lies in one transaction: within it each of ours begins, ends and is undone so.
_SAVE, _RELEASE, _RETURN = (verb + "SAVEPOINT ours" for verb in ("", "RELEASE ", "ROLLBACK TO "))


class PostgresqlStorage(Storage):
    """A store in a schema of a PostgreSQL database, created on first use; `directory` has its logs and settings.

    Where nothing is to be made and there is none, an empty one that is never committed.
    """

    backend = POSTGRESQL
    poll_seconds = 0.2  # each look is a question to the server
    is_far = True

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str], create: bool, url: str) -> None:
        super().__init__(directory, clock, environ)
        self.target = DatabaseUrl(url, environ)
        self._create = create
        self._is_known = False  # whether the schema was compared, over this connection
        self._begun = False
        self._broken = ""  # why the transaction cannot be committed
        self._number: int | None = None  # that of the transaction; None: it only reads
        self._foreseen: dict[tuple[object, ...], list[bytes]] = {}  # statements whose rows came with its beginning
        self._posted: list[tuple[Filled, LaterAnswer]] = []
        if create:
            create_directory(directory)
        self.psql, self._schema = self._connect()

    def _connect(self) -> tuple[Psql, Schema]:
        psql = Psql(self.target.url, self.target.variables)
        try:
            return psql, Schema(psql, LIMITS, self.target.quoted_schema, self._lock("").write(), self._create)
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

    def transaction(self, lock: str = "", foreseen: Sequence[Statement] = ()) -> Transaction:
        return Transaction(self, lambda: self._begin_write(lock, foreseen))

    def snapshot(self, foreseen: Sequence[Statement] = ()) -> Snapshot:
        return Snapshot(self, lambda: self._begin(["BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"], _TOMBSTONE,
                                                  foreseen))

    def _begin_write(self, lock: str, foreseen: Sequence[Statement]) -> list[Row]:
        wait = [] if self.lock_timeout is None else [f"SET LOCAL lock_timeout = '{1000 * self.lock_timeout:.0f}ms'"]
        return self._begin(["BEGIN", *wait, self._lock(lock)], _FIRST, foreseen)

    def _lock(self, key: str) -> Filled:
        """The SQL that takes a lock until the end of the transaction; an agent and its inbox are one key."""
        key, whole = "agent:" + key[6:] if key.startswith("inbox:") else key, self.target.schema + ":"
        if key.startswith(_NARROW):
            return Filled(_LOCK_NARROW, {"all": whole, "key": whole + key})
        return Filled(_LOCK, {"key": whole + (key if key == MEMBERSHIP else "")})

    def _begin(self, before: list[str | Filled], first: Filled, foreseen: Sequence[Statement]) -> list[Row]:
        asked = [Filled(*each) for each in foreseen]
        [line], *lines = self._ask([_SAVE] if self._schema.ephemeral else before, [first, *asked], is_repeatable=True)
        self._begun, row = True, read_row(line)
        self._number = row.get("number")
        self._foreseen = {_key(*each): rows for each, rows in zip(foreseen, lines)}
        return [row] if row["value"] is not None else []

    def lock_membership(self) -> None:
        if not self._schema.ephemeral:
            self._foreseen.clear()
            self._ask_after_posted(after=[self._lock(MEMBERSHIP).write()])

    def execute(self, sql: str, params: Params = {}) -> list[Any]:
        self.refuse_stopped()
        lines = self._foreseen.pop(_key(sql, params), None) if self._foreseen else None
        if lines is not None:
            return [read_row(line) for line in lines]
        asked = Filled(sql, params)
        if not self._begun:
            return self._execute_apart(asked)
        if asked.kind != READS:
            self._foreseen.clear()
        return [read_row(line) for line in self._ask_after_posted([asked])]

    def _execute_apart(self, asked: Filled) -> list[Any]:
        """Run a statement outside of a transaction, or in the one of an empty store that is never committed."""
        is_repeatable = asked.kind == READS
        if self._schema.ephemeral:
            [lines] = self._ask([_SAVE], [asked], [_RELEASE], is_repeatable)
            return [read_row(line) for line in lines]
        if not is_repeatable or self.note_stamp is None:
            return [read_row(line) for line in self._ask([], [asked], is_repeatable=is_repeatable)[0]]
        [line], lines = self._ask([], [_TOMBSTONE, asked], is_repeatable=True)
        tombstone = read_row(line)
        self.refuse_moved([tombstone] if tombstone["value"] else [])
        return [read_row(line) for line in lines]

    def post(self, sql: str, params: Params = {}) -> Posted:
        if self._number is None or self.depth > 1:  # an outer transaction has to know which call an error is of
            return super().post(sql, params)
        answer = LaterAnswer(self._ask_after_posted)
        self._posted.append((Filled(sql, params), answer))
        return answer

    def post_insert(self, sql: str, row: Params) -> Posted:
        return self.post(sql + " RETURNING id", row)

    def insert_each(self, sql: str, rows: Sequence[Params]) -> list[int]:
        ids: list[int] = []
        into, _, values = sql.partition(" VALUES ")
        for start in range(0, len(rows), ROWS_AT_ONCE):
            texts = ", ".join([Filled(values, row).write() for row in rows[start:start + ROWS_AT_ONCE]])
            ids += sorted(row["id"] for row in self.execute(f"{into} VALUES {texts} RETURNING id"))
        return ids

    def _ask_after_posted(self, asked: Sequence[Filled] = (), after: Sequence[str] = ()) -> list[bytes]:
        """Send the posted statements and the queries after them; the rows of the last query."""
        posted, self._posted = self._posted, []
        found = self._ask([], [*(each for each, _ in posted), *asked], after)
        for (_, answer), lines in zip(posted, found):
            answer.lines = lines
        return found[-1] if asked else []

    def _ask(self, before: Sequence[str | Filled], asked: Sequence[Filled], after: Sequence[str] = (),
             is_repeatable: bool = False) -> list[list[bytes]]:
        """The rows of each answer. After a lost connection it reconnects and repeats what is repeatable.

        What fails outside of a transaction leaves none behind, though it was to begin one.
        """
        if self._broken:
            raise StorageError(self._broken)
        try:
            try:
                return self.psql.ask_all(before, asked, after)
            except Lost:
                if not is_repeatable:
                    raise
                was_ephemeral = self._schema.ephemeral
                self._reconnect()
                if self._schema.ephemeral != was_ephemeral:  # what was asked is meant for the other
                    raise
                return self.psql.ask_all(before, asked, after)
        except Lost as loss:
            raise self._break(lost(self.target, loss)) from None
        except Failed as error:
            if not self._begun:
                self._undo()
            raise self._break(self._explain(error)) from None

    def _reconnect(self) -> None:
        self.psql.stop()
        self._is_known = False
        self.psql, self._schema = self._connect()

    def _break(self, error: MilestoneError) -> MilestoneError:
        """Note that PostgreSQL will do nothing more in this transaction."""
        if self._begun:
            self._broken = str(error)
        return error

    def commit(self) -> None:
        if self._broken:
            text = self._broken
            self.rollback()
            raise StorageError(text)
        posted, number, end = self._posted, self._number, _RELEASE if self._schema.ephemeral else "COMMIT"
        self._end()
        if number is None:  # it has only read
            self.psql.tell(end)
            return
        try:
            found = self.psql.ask_all([], [each for each, _ in posted], [end])
        except Lost as loss:
            return self._resolve_commit(loss, number, [answer for _, answer in posted])
        except Failed as error:
            self._undo()
            raise self._explain(error) from None
        for (_, answer), lines in zip(posted, found):
            answer.lines = lines

    def _resolve_commit(self, loss: Lost, number: int, posted: list[LaterAnswer]) -> None:
        """The connection was lost during a commit: return if the commit succeeded, else raise."""
        outcome = self._find_outcome(number)
        if outcome == "aborted":
            raise lost(self.target, loss)
        if outcome != "committed":
            raise StorageError(f"the connection to {self.target.shown} was lost during a commit, and whether that was "
                               "done is not known: look before you do it again")
        for answer in posted:
            answer.refusal = (f"this was done, but the connection to {self.target.shown} was lost before the answer "
                              "came: do not do it again")

    def _find_outcome(self, number: int) -> str:
        """The outcome of a transaction, asked over a new connection: committed, aborted or unknown."""
        question = Filled(f"SELECT txid_status({number}) AS status")
        for _ in range(OUTCOME_TRIES):
            try:
                [[line]] = self._ask([], [question], is_repeatable=True)
                status = read_row(line)["status"]
                if status != "in progress":
                    return status or "unknown"
            except StorageError:  # the server is not up again yet
                pass
            self.clock.sleep(0.1)
        return "unknown"

    def rollback(self) -> None:
        """Roll back the transaction. If the connection is lost, the server has done that or will do it."""
        begun = self._begun
        self._end()
        if begun:
            self._undo()

    def _undo(self) -> None:
        try:
            if self.psql.pid:
                self.psql.ask(f"{_RETURN}; {_RELEASE};" if self._schema.ephemeral else "ROLLBACK;")
        except (Lost, Failed):
            self.psql.stop()

    def _end(self) -> None:
        self._begun, self._broken, self._number, self._posted = False, "", None, []
        self._foreseen.clear()

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

    def refuse_altered(self) -> None:
        if self._is_known or self._schema.ephemeral:
            return
        from .comparison import FACTS, SHOWN, find_alterations

        facts, self._schema.facts = self._schema.facts, []
        altered = find_alterations(map(read_row, facts) if facts else self.execute(FACTS))
        if altered:
            raise StorageError(f"{self.target.shown} schema {self.target.schema}: {'; '.join(altered[:SHOWN])}; "
                               "nothing was done")
        self._is_known = True

    def check(self) -> list[str]:
        from .comparison import FACTS, OURS, find_alterations

        return find_alterations(self.execute(FACTS), is_strict=True) + [row["wrong"] for row in self.execute(
            OURS + "SELECT 'constraint ' || conname || ' of ' || relname || ' was never checked: VALIDATE it' AS wrong "
            "FROM pg_constraint JOIN ours ON ours.oid = conrelid WHERE NOT convalidated "
            "UNION ALL SELECT 'index ' || relname || ' is not valid: REINDEX it' "
            "FROM pg_index JOIN ours ON ours.oid = indexrelid WHERE NOT indisvalid")]

    def close(self) -> None:
        self.psql.stop()

    def _explain(self, error: Failed) -> MilestoneError:
        return explain(self.target, error, self._wait_seconds)


def _key(sql: str, params: Params) -> tuple[object, ...]:
    """The identity of a foreseen statement, without the current time, which advances meanwhile."""
    return sql, *[params[name] for name in name_parameters(sql) if name != "now"]
