"""Copies rows from one storage to another: read in chunks, written in order, compared by digest."""
from __future__ import annotations

from ..base.errors import StorageError, UsageError
from ..base.tables import TABLES
from ..base.values import dump_json
from ..coordination.snapshots import HAS_LATER
from ..records.index import index_records
from ..records.record import read_record, write_record_files
from ..records.swap import swap_out
from ..storage.interface import ROW_COUNTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..storage.interface import Row, Storage

PORTION = 500


def read_rows(store: Storage, table: str) -> Iterator[Row]:
    """Every row of a table ordered by its key; milestones with their record, wherever it is stored."""
    keys = TABLES[table]
    order, after = ", ".join(keys), ""
    last: Row = {}
    while True:
        rows = store.execute(f"SELECT * FROM {_rows_of(table)} {after} ORDER BY {order} LIMIT {PORTION}", last)
        yield from (_plain_row(store, table, row) for row in rows)
        if len(rows) < PORTION:
            return
        after = f"WHERE ({order}) > ({', '.join(':' + key for key in keys)})"
        last = {key: rows[-1][key] for key in keys}


def _rows_of(table: str) -> str:
    """The table without a backup's row counts, which are not rows to move."""
    if table != "agent_coordination_config":
        return table
    return f"(SELECT * FROM {table} WHERE key <> '{ROW_COUNTS}') kept"


def _plain_row(store: Storage, table: str, row: Row) -> Row:
    """A row in the same form on every backend: the record's text in place of its file's path."""
    if table != "milestones":
        return row
    return {**row, "data": read_record(store, row), "file_path": None, "file_stamp": None}


def prepare_source(store: Storage) -> None:
    """Update the index of the records and delete what has expired, within the caller's transaction.

    StorageError names a file that cannot be read and would be lost.
    """
    store.require_whole()
    index_records(store, strict=True)
    store.execute("DELETE FROM agent_state WHERE expires_at <= :now OR expires_at <= "
                  "(SELECT max(updated_at) FROM agent_state)", {"now": store.now()})
    # What the triggers of the other store would remove; where clocks differ, it may be there.
    store.execute("DELETE FROM agent_checkpoints WHERE retention_until <= (SELECT max(created_at) FROM "
                  f"agent_checkpoints) AND {HAS_LATER}")


def count_rows(store: Storage) -> dict[str, int]:
    """How many rows each table has."""
    return {table: int(store.execute(f"SELECT count(*) AS n FROM {_rows_of(table)}")[0]["n"]) for table in TABLES}


def fill_store(store: Storage, rows_of: Callable[[str], Iterable[Row]], numbers: Mapping[str, int],
               replace: bool = False) -> dict[str, int]:
    """Insert the rows of every table, then their records, within the caller's transaction; how many of each table.

    numbers: the last number that was given out in each numbered table
    replace: what was there goes; its record files are kept below backups/
    """
    if replace:
        _clear_rows(store)
    counts = {table: _insert_rows(store, table, rows_of(table)) for table in TABLES}
    store.advance_sequences(numbers)
    if replace and store.backend.records_are_files:
        swap_out(store)
    write_record_files(store)
    return counts


def _clear_rows(store: Storage) -> None:
    """Delete every row except the settings."""
    for table in reversed(TABLES):
        if table != "agent_coordination_config":
            store.execute(f"DELETE FROM {table}")


def _insert_rows(store: Storage, table: str, rows: Iterable[Row]) -> int:
    """Insert rows with their ids; returns how many. UsageError names an invalid row."""
    keys, number = TABLES[table], 0
    for number, row in enumerate(rows, 1):  # noqa: B007
        names = list(row)
        try:
            store.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)}) "
                f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET " +
                ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys), row)
        except UsageError as error:
            raise UsageError(f"{table} {' '.join(str(row[key]) for key in keys)}: {error}") from None
    return number


def copy_rows(source: Storage, target: Storage, replace: bool = False) -> dict[str, int]:
    """Copy every row, within transactions on both; how many of each table.

    replace: what was in the target goes
    """
    totals = count_rows(source)
    return fill_store(target, lambda table: _report(source, table, totals[table], read_rows(source, table)),
                      source.sequence_values(), replace)


def copy_own_rows(store: Storage, target: Storage, replace: bool = False) -> dict[str, int]:
    """The same for rows that nobody has given in this call: StorageError names the one that the target refuses."""
    try:
        return copy_rows(store, target, replace)
    except UsageError as error:
        raise StorageError(f"{error}; that row cannot be copied, and nothing was: doctor tells what to do") from None


def _report(store: Storage, table: str, total: int, rows: Iterable[Row]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if number % PORTION == 0:
            store.report(table, number, total)
        yield row
    store.report(table, total, total)


def digest_rows(store: Storage) -> dict[str, tuple[int, str]]:
    """For each table the number of rows and a digest of them that does not depend on their order."""
    import hashlib

    digests = {}
    for table in TABLES:
        number = total = 0
        for row in read_rows(store, table):
            digest = hashlib.sha256(dump_json(row, sort_keys=True).encode()).digest()
            number, total = number + 1, total + int.from_bytes(digest, "big")
        digests[table] = (number, f"{total % (1 << 256):064x}")
    return digests
