"""The interface of a storage: a call that can also run portable SQL."""
from __future__ import annotations

import os

from ..base.errors import StorageError, closed
from .backends import DEFAULT
from .call import Call, Clock
from .directory import move_files
from .selection import read_note_stamp, store_in_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..base.answers import Description, Finding
    from .backends import Backend

    Row = dict[str, Any]
    Params = Mapping[str, Any]
    Statement = tuple[str, Params]


COPY = "from "  # before the store that a tombstone names, where this one is an unfinished copy of it
ROW_COUNTS = "backup_rows"  # the setting of a backup, written last: how many rows of each table it has
READ_TOMBSTONE = "SELECT moved_to AS value, move FROM store_moves"


POLL_SECONDS = 0.04  # between two looks whether a store has changed
BRIEF_SECONDS = 0.25  # how long a caller waits that can do without
LOOK_AGAIN_SECONDS = 1.0  # after which the calls of a process look again who is silent
LOOK_SECONDS = 10.0  # how long a caller waits that only looks, where even that must wait
CODEX, CODEX_SECONDS = "CODEX_CI", 8.0  # its shell leaves calls of 10 s behind: nobody reads what they do then


class Move:
    """The note of a move, as stored in a tombstone.

    store: backend and data directory of the store that counts, as the tombstone names them
    name: which move it was, as the tombstones of both stores name it
    is_copy: whether the store with this tombstone is a copy of that one which was not finished
    """

    __slots__ = ("store", "name", "is_copy", "backend", "directory")

    def __init__(self, text: str, name: str = "") -> None:
        self.name = name
        self.is_copy = text.startswith(COPY)
        self.store = text[len(COPY):] if self.is_copy else text
        self.backend, _, self.directory = self.store.partition(" ")

    def __str__(self) -> str:
        if self.is_copy:
            return (f"the data is being moved here from the {self.backend} backend in {self.directory}: "
                    "use it there, or migrate again there")
        return f"the data was moved to the {self.backend} backend in {self.directory}: use it there"


class StorageMoved(Exception):
    """The rows are in another store: open the storage again. Not an error unless that fails; nothing was changed."""

    def __init__(self, move: Move) -> None:
        self.move = move
        super().__init__(str(move))


class TakenBack(Exception):
    """Ends a trial transaction."""


class Damaged(StorageError):
    """The files of the store in use are damaged or missing: a backup may replace them.

    call: by which it was found; it need not be an open store
    backend: which that store is
    note_stamp: the note of what was in use then
    """

    def __init__(self, text: str, call: Call, backend: Backend) -> None:
        from .remedies import advise_restoring

        self.call, self.backend, self.note_stamp = call, backend, read_note_stamp(call.directory)
        super().__init__(f"{text}; everything was left as it is: {advise_restoring(call.directory)}")


class Posted:
    """The answer to a statement that was posted."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def rows(self) -> list[Any]:
        """The rows that it returned; best read after the transaction."""
        return self._rows


class Transaction:
    """Scope of one transaction; nested scopes join the outermost one, and an exception rolls all of it back.

    begin: begins it; gives what READ_TOMBSTONE gives, if that was read with the beginning
    """

    __slots__ = ("storage", "begin")
    writes = True

    def __init__(self, storage: Storage, begin: Callable[[], list[Row] | None]) -> None:
        self.storage, self.begin = storage, begin

    def __enter__(self) -> None:
        storage = self.storage
        if storage.depth:
            storage.depth += 1
            return
        if storage.stopped:
            raise closed()
        found = self.begin()
        storage.depth = 1
        try:
            storage.refuse_moved(found)  # while this one waited for the lock, or before that
        except BaseException:
            storage.depth = 0
            storage.rollback()
            raise

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        storage = self.storage
        storage.depth -= 1
        if storage.depth:
            return
        said, storage.said = storage.said, []
        if kind is not None or storage.is_unmade and self.writes and storage.makes:
            try:
                storage.put_back()
            finally:
                storage.rollback()
            if kind is None:
                storage.require_made()
            return
        try:
            storage.commit()  # one that fails undoes it
            storage.undo.clear()
            storage.make_durable()
        finally:
            storage.put_back()
        for text in said:
            storage.tell(text)


class Brief:
    """Scope in which nothing waits long for another process."""

    __slots__ = ("storage", "before", "seconds")

    def __init__(self, storage: Storage, seconds: float | None) -> None:
        self.storage, self.before, self.seconds = storage, storage.lock_timeout, seconds

    def __enter__(self) -> None:
        self.storage.lock_timeout = self.seconds

    def __exit__(self, *exc: object) -> None:
        self.storage.lock_timeout = self.before


class Snapshot(Transaction):
    """Scope of one read transaction."""

    __slots__ = ()
    writes = False


class Storage(Call):
    """Base of the backends. An operation uses `transaction`, `snapshot`, `execute`, and the members of a call.

    backend: which it is: what holds the rows, and whether milestone records are files
    milestones_added: whether this call made a milestone, so that another backend may suit better now
    FILES: names below the data directory that hold this backend's rows
    poll_seconds: how often who waits may ask for its change_stamp
    room: how many bytes of messages its reader can be shown at once; None: any number
    is_unmade: whether there is no store yet, and this one, empty and in memory, stands for it
    makes: whether the operation that runs makes it, once something is to last: what is refused before leaves no trace
    is_new: whether this call has made the data directory
    said: what is to be told once the transaction is done
    undo: what puts files back that the transaction has changed, if it fails; called with nothing, last first
    kept: the files that it has replaced, and the names they are kept under until it ends
    open_other: opens another storage of the same data directory by its backend, or a SQLite file by its path
    note_stamp: the state of the note of what is in use when this was chosen; None for a storage that is not in use:
        such a one is worked on wherever the rows are, before it counts or after
    """

    FILES: tuple[str, ...] = ()
    backend = DEFAULT
    poll_seconds = POLL_SECONDS
    is_far = False  # then what costs is each answer that is waited for
    lock_timeout: float | None = None  # how long it waits for another process; None: as long as is usual
    room: int | None = None
    looked_for_silent: float | None = None  # when a call of this process last looked for silent agents
    stopped = False  # set by another thread, which must not close it under this one: nothing further begins

    def __init__(self, directory: str, clock: Clock, environ: Mapping[str, str]) -> None:
        super().__init__(directory, clock, environ)
        self.is_unmade = self.makes = self.is_new = False
        self.depth = 0
        self.said: list[str] = []
        self.undo: list[Callable[[], None]] = []
        self.kept: dict[str, str] = {}
        self.milestones_added = False
        self.note_stamp: tuple[int, int] | None = None
        self.open_other: Callable[..., Storage]

    def tell_done(self, text: str) -> None:
        """Report what was done, within a transaction at its end: nothing is reported that was rolled back."""
        if self.depth:
            self.said.append(text)
        else:
            self.tell(text)

    def hurry(self, seconds: float | None = BRIEF_SECONDS) -> Brief:
        """Scope in which waiting for another process times out after so many seconds; None: the default."""
        return Brief(self, seconds)

    def is_at_hand(self, table: str) -> bool:
        """Whether rows of a table can be counted without reading the whole table from files."""
        return True

    def has_looked(self) -> bool:
        """Whether another call has just looked for silent agents; records that the caller does so now."""
        last, now = self.looked_for_silent, self.clock.monotonic()
        if last is not None and 0 <= now - last < LOOK_AGAIN_SECONDS:
            return True
        self.looked_for_silent = now
        return False

    def try_writing(self) -> None:
        """StorageError, with the reason, if nothing can be written; leaves no trace."""
        try:
            with self.transaction("config"):
                self.execute("INSERT INTO agent_coordination_config (key, value, updated_at) "
                             "VALUES ('doctor', '', :now)", {"now": self.now()})
                raise TakenBack
        except TakenBack:
            pass

    def transaction(self, lock: str = "", foreseen: Sequence[Statement] = ()) -> Transaction:
        """A write transaction under the backend's narrowest lock for the key `lock`.

        foreseen: reads that it will ask for, the same but for :now; a backend far away brings their rows along
        The keys `agent:ID` and `inbox:ID` (one and the same), `milestone:ID` and `events` are for what changes only
        rows of that agent or lease, and adds messages, events and heartbeats. Any other key locks the whole store.
        """
        raise NotImplementedError

    def lock_membership(self) -> None:
        """Within a transaction on a narrow key: exclude all others that do this, before adding an agent or session.

        Ask again afterwards what was asked before. A backend where one writes at a time has nothing to do.
        """

    def snapshot(self, foreseen: Sequence[Statement] = ()) -> Snapshot:
        """A read transaction: all its queries see the same state."""
        raise NotImplementedError

    def execute(self, sql: str, params: Params = {}) -> list[Any]:
        """Run one portable statement with named parameters; returns its rows, as dicts."""
        raise NotImplementedError

    def post(self, sql: str, params: Params = {}) -> Posted:
        """Within a transaction: run a statement, at the commit at the latest, that changes no foreseen row.

        Its error may come as late as that. Rows that are asked for earlier are waited for.
        """
        return Posted(self.execute(sql, params))

    def post_insert(self, sql: str, row: Params) -> Posted:
        """The same for the INSERT of a row that the database numbers; the result has its id."""
        return Posted([{"id": self.insert_each(sql, [row])[0]}])

    def change_stamp(self) -> object:
        """A value that changes with each commit of another process, read without rows; None if there is none."""
        return None

    def execute_each(self, sql: str, rows: Sequence[Params]) -> None:
        """Within a transaction: run one statement that returns no rows, once for each of these parameters."""
        for row in rows:
            self.execute(sql, row)

    def insert_each(self, sql: str, rows: Sequence[Params]) -> list[int]:
        """Within a transaction: insert these rows, which the database numbers; returns their ids."""
        return [self.execute(f"{sql} RETURNING id", row)[0]["id"] for row in rows]

    def refuse_moved(self, found: list[Row] | None = None) -> None:
        """StorageMoved if the rows have moved elsewhere. `found`: the result of READ_TOMBSTONE, if known."""
        if self.note_stamp is None:
            return
        rows = self.execute(READ_TOMBSTONE) if found is None else found
        if read_note_stamp(self.directory) != self.note_stamp:
            raise StorageMoved(Move(store_in_use(self.directory)))
        if rows:
            move = Move(rows[0]["value"])
            if move.is_copy or move.backend != self.backend.name:  # hybrid and database are one file
                raise StorageMoved(move)

    def require_made(self) -> None:
        """Before the first lasting change: StorageMoved if the call has to run again on a store that is now created."""
        if self.is_unmade and self.makes:
            raise StorageMoved(Move(""))

    def refuse_altered(self) -> None:
        """StorageError if others have changed the schema, which may undo, refuse or block what a call does."""

    def put_back(self) -> None:
        """Restore the files that a failed transaction has changed, and forget the copies kept for that."""
        while self.undo:
            try:
                self.undo.pop()()
            except (OSError, StorageError) as error:
                self.warn(f"a file could not be put back: {error}")
        while self.kept:
            try:
                os.unlink(self.kept.popitem()[1])
            except OSError:  # it has its place again, or does no harm
                continue

    def commit(self) -> None:
        """Make what the transaction has done count, all of it; one that fails has undone it."""
        raise NotImplementedError

    def make_durable(self) -> None:
        """The last step for a commit to survive a power cut; StorageError if it fails, although the commit is done."""

    def rollback(self) -> None:
        """Undo what the transaction has done; where none has begun, nothing."""
        raise NotImplementedError

    def set_aside(self, folder: str) -> None:
        """Close it for good and move its files to `folder`. OSError if the system refuses."""
        self.close()
        move_files(self.directory, self.FILES, folder)

    def refuse_stopped(self) -> None:
        """StorageError if no new call may start here; running ones may finish."""
        if self.stopped and self.depth == 0:
            raise closed()

    def require_whole(self) -> None:
        """Within a transaction: StorageError if a row cannot be read, and would be left out."""

    def sequence_values(self) -> dict[str, int]:
        """The last id assigned in each table whose rows the database numbers, even if that row is gone; 0: none yet."""
        raise NotImplementedError

    def forked_in_transaction(self) -> bool:
        """In a child process: whether it was forked, with the store, in the middle of a transaction."""
        return False

    def advance_sequences(self, numbers: Mapping[str, int] = {}) -> None:
        """After inserting rows with explicit ids: let the ids of new rows come after these, and after `numbers`.

        They never go down: no id is given out twice.
        """
        raise NotImplementedError

    def describe(self) -> Description:
        """Where and how the rows are stored, for `where` and `doctor`."""
        raise NotImplementedError

    def check(self) -> list[str]:
        """Everything that is wrong with the stored rows, one line each; empty if all is well."""
        raise NotImplementedError

    def inspect(self) -> list[Finding]:
        """The same for doctor, as findings."""
        from .findings import finding

        return [finding(self.describe()["database"], line) for line in self.check()]

    def fix(self, folder: str) -> list[Finding]:
        """Repair what can be repaired without loss; returns what was done. Whatever is removed is kept in `folder`."""
        return []

    def close(self) -> None:
        """Release everything; closing it again does nothing."""
        raise NotImplementedError
