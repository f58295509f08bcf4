"""An export file: a line that names the format, each row as a line of JSON, and a line with their number."""
from __future__ import annotations

import os
import re
import stat

from ..base.errors import Refused, StorageError, UsageError
from ..base.found import open_found
from ..base.quoting import command, quote
from ..base.tables import LARGEST_NUMBER, NUMBERED, SCHEMA_VERSION, TABLES, TIMES, describe_columns
from ..base.times import parse_time
from ..base.values import check_text, dump_json, parse_json
from ..storage.directory import create_directory, is_inside, is_one_of, is_ours
from ..storage.files import cannot_write
from ..storage.interface import ROW_COUNTS
from ..storage.parts import NewFile
from .transfer import read_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..storage.call import Call
    from ..storage.interface import Row, Storage

FORMAT = "milestone_persist"


def new_file(store: Storage, path: str) -> NewFile:
    """A new private file, which gets its name when it is complete; UsageError if that name exists."""
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    inside = is_inside(path, store.directory)
    if inside:
        first = os.path.relpath(path, os.path.realpath(store.directory)).partition(os.sep)[0]
        if first != "backups" and is_ours(first):
            raise UsageError(f"{path} would be a file of the store itself: name one outside {store.directory}, or none")
        store.require_made()
        create_directory(store.directory)
    return NewFile(path, inside)


def require_file(call: Call, files: tuple[str, ...], file: str, what: str) -> str:
    """The absolute path of a given file; Refused unless it can be read, UsageError if it is none, or of the store's."""
    path = os.path.realpath(file)
    try:
        status = os.stat(path)
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise Refused(f"cannot read the {what} {file!r} ({error.strerror}){_tell_file(call, file, what)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"cannot read the {what} {file!r}: it is not a regular file")
    if is_one_of(path, call.directory, files):
        raise UsageError(f"{file!r} is a file of the store itself, no {what}")
    return path


def _tell_file(call: Call, file: str, what: str) -> str:
    """What to give instead of a missing file."""
    from ..base.printed import file_printed
    from ..storage.remedies import find_newest_backup

    meant = file_printed(file)
    if meant:
        return f"; that line names {quote(meant)}: give it alone"
    newest = find_newest_backup(call.directory) if what == "backup" else ""
    return f"; the newest backup is {quote(newest)}" if newest else ": name another"


def _tell_kind(path: str, file: str) -> str:
    """What a file that is not an export is, and what to do with it; "" if unknown."""
    from ..base.printed import file_printed

    with open_found(path) as given:
        start = given.read(2000)
    if start.startswith(b"SQLite format 3\0"):
        return f"is a backup, no export: {command(['restore_coordination', file])} replaces everything by it"
    meant = file_printed(start.decode("utf-8", "replace"))
    return f"holds only what export_coordination printed: the export is {quote(meant)}" if meant else ""


def write_export(store: Storage, path: str) -> str:
    """Write every row as a JSON line, within the caller's transaction; returns the path."""
    with new_file(store, path) as new:
        try:
            with open(new.part, "wb") as out:
                for line in export_lines(store):
                    out.write(line.encode() + b"\n")
        except OSError as error:
            raise cannot_write(path, error) from None
        new.finish()
    return path


def export_lines(store: Storage) -> Iterator[str]:
    """The lines of an export: the head, the rows, and the end: how many rows of each table, the last numbers."""
    yield dump_json({"format": FORMAT, "version": SCHEMA_VERSION})
    counts = dict.fromkeys(TABLES, 0)
    for table in TABLES:
        for row in read_rows(store, table):
            counts[table] += 1
            yield dump_json({"table": table, "row": row}, sort_keys=True)
    yield dump_json({"last_numbers": store.sequence_values(), "rows": counts})


def require_numbers(store: Storage) -> None:
    """StorageError if there is a number that no import accepts, written into the database by hand."""
    for table, last in store.sequence_values().items():
        [ids] = store.execute(f"SELECT coalesce(min(id), 1) AS least, coalesce(max(id), 1) AS most FROM {table}")
        for number, least in ((last, 0), (ids["least"], 1), (ids["most"], 1)):
            if not _is_number(number) or number < least:
                raise StorageError(f"{table}: {number!r:.50} is no number that a call has given out, and no import "
                                   "takes it: nothing was written; doctor tells what to do")


def read_export(store: Storage, file: str) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """The rows of an export by table, and the last numbers; UsageError names an invalid line."""
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    import io

    columns = {table: {name: kind for name, kind, _ in found} for table, found in describe_columns().items()}
    number, end = 0, None
    path = require_file(store, store.FILES, file, "export")
    try:
        with io.TextIOWrapper(open_found(path), "utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                item = parse_json(line)
                if number == 1 and _is_head(item, file):
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
        kind = _tell_kind(path, file) or f"is not an export of export_coordination: line {number}: {error}"
        raise UsageError(f"{file!r} {kind}") from None
    if end is None:
        raise UsageError(f"{file!r} is not a complete export of export_coordination: it ends after line {number}, "
                         "without the line that counts the rows")
    return rows, end["last_numbers"]


def _is_head(item: Any, file: str) -> bool:
    """Whether a parsed line is the first of an export; StorageError for one that a newer program has written."""
    if not isinstance(item, dict) or set(item) != {"format", "version"} or item["format"] != FORMAT:
        return False
    version = item["version"]
    if type(version) is int and version > SCHEMA_VERSION:
        raise StorageError(f"{file!r} is an export of version {version}, newer than this program's {SCHEMA_VERSION}: "
                           "use a newer milestone_persist")
    return type(version) is int and version > 0


def _is_end(item: Any, rows: dict[str, list[Row]]) -> bool:
    """Whether a parsed line is the last of an export; ValueError if its number of rows is wrong."""
    if not isinstance(item, dict) or set(item) != {"last_numbers", "rows"}:
        return False
    counts = {table: len(found) for table, found in rows.items()}
    if item["rows"] != {table: number for table, number in counts.items() if number or table in item["rows"]}:
        raise ValueError(f"it counts other rows than the {sum(counts.values())} before it: some are missing")
    numbers = item["last_numbers"]
    return isinstance(numbers, dict) and set(numbers) == set(NUMBERED) and all(map(_is_number, numbers.values()))


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST_NUMBER


def _is_row(item: Any, columns: dict[str, dict[str, str]]) -> bool:
    """Whether a parsed line is a row of a table, with its columns and with values that every backend can store."""
    if not isinstance(item, dict) or str(item.get("table")) not in columns or not isinstance(item.get("row"), dict):
        return False
    table, row = item["table"], item["row"]
    for column in TIMES & set(row):
        if row[column] is not None:
            _require_time(column, row[column])
    return bool(set(TABLES[table]) < set(row) <= set(columns[table]) and row.get("key") != ROW_COUNTS
                and all(_fits(value, columns[table][name]) for name, value in row.items())
                and row.get("file_path") is None and (table not in NUMBERED or _is_number(row["id"]) and row["id"]))


def _require_time(column: str, value: Any) -> None:
    if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", str(value)):
        raise ValueError(f"{column} is not a time")
    parse_time(value)


def _fits(value: Any, kind: str) -> bool:
    """Whether a column of that type accepts a value, on every backend."""
    if kind == "TEXT":
        return value is None or isinstance(value, str) and check_text(value, "it") == value
    return value is None or type(value) is int and abs(value) < 2 ** 63 or (
        kind != "INTEGER" and isinstance(value, float))
