"""The file of an export: a line that names the format, each row as a line of JSON, and a line that counts them."""
from __future__ import annotations

import os

from ..errors import Refused, StorageError, UsageError
from ..storage.directory import cannot_write, create_directory, make_folder, sync_directory
from ..storage.interface import RETIRED
from ..tables import NUMBERED, TABLES, read_columns
from ..values import check_text, dump_json, parse_json
from .transfer import read_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from ..storage.interface import Row, Storage

HEAD = {"format": "milestone_persist", "version": 1}
LARGEST_NUMBER = 2 ** 62  # of a row that is imported: there must be room for those to come


def new_file(store: Storage, path: str) -> BinaryIO:
    """A new private file; UsageError if there is one of that name."""
    try:
        if path.startswith(store.directory + os.sep):
            create_directory(store.directory)
        make_folder(os.path.dirname(path))
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise UsageError(f"{path} is there already: name a new file") from None
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}): name a file you can write") from None


def write_export(store: Storage, path: str) -> str:
    """Write every row as a JSON line, within the caller's transaction; returns the path."""
    out = new_file(store, path)
    try:
        with out:
            for line in export_lines(store):
                out.write(line.encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        sync_directory(os.path.dirname(path))
    except BaseException as error:
        os.unlink(path)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from None
        raise
    return path


def export_lines(store: Storage) -> Iterator[str]:
    """The lines of an export: the head, the rows, and the end: how many rows of each table, the last numbers."""
    yield dump_json(HEAD)
    counts = dict.fromkeys(TABLES, 0)
    for table in TABLES:
        for row in read_rows(store, table):
            counts[table] += 1
            yield dump_json({"table": table, "row": row}, sort_keys=True)
    yield dump_json({"last_numbers": store.last_numbers(), "rows": counts})


def read_export(file: str) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """The rows of an export by table, and the last numbers; UsageError names the line that is none of an export."""
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    columns, number, end = read_columns(), 0, None
    try:
        with open(file, encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                item = parse_json(line)
                if number == 1 and item == HEAD:
                    continue
                if number > 1 and end is None and _is_end(item, rows):
                    end = item
                elif number > 1 and end is None and _is_row(item, columns):
                    rows[item["table"]].append(item["row"])
                else:
                    raise ValueError("not what export_coordination writes")
    except OSError as error:
        raise Refused(f"cannot read {file!r} ({error.strerror})") from None
    except (ValueError, TypeError, UsageError) as error:
        raise UsageError(f"{file!r} is no export of export_coordination: line {number}: {error}") from None
    if end is None:
        raise UsageError(f"{file!r} is no whole export of export_coordination: it ends after line {number}, without "
                         "the line that counts the rows")
    return rows, end["last_numbers"]


def _is_end(item: Any, rows: dict[str, list[Row]]) -> bool:
    """Whether a parsed line is the last of an export; ValueError where it counts other rows than there are."""
    if not isinstance(item, dict) or set(item) != {"last_numbers", "rows"}:
        return False
    counts = {table: len(found) for table, found in rows.items()}
    if item["rows"] != counts:
        raise ValueError(f"it counts other rows than the {sum(counts.values())} before it: some are missing")
    numbers = item["last_numbers"]
    return isinstance(numbers, dict) and set(numbers) == set(NUMBERED) and all(map(_is_number, numbers.values()))


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST_NUMBER


def _is_row(item: Any, columns: dict[str, set[str]]) -> bool:
    """Whether a parsed line is a row of a table, with columns that it has and values that every backend can hold."""
    if not isinstance(item, dict) or str(item.get("table")) not in columns or not isinstance(item.get("row"), dict):
        return False
    table, row = item["table"], item["row"]
    return bool(set(TABLES[table]) < set(row) <= columns[table] and row.get("key") != RETIRED
                and all(map(_fits, row.values())) and row.get("file_path") is None
                and (table not in NUMBERED or _is_number(row["id"]) and row["id"]))


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        check_text(value, "it")
    return value is None or isinstance(value, (str, float)) or type(value) is int and abs(value) < 2 ** 63
