"""What the server keeps parsed for a connection: statements that it was asked before need nothing but their values."""
from __future__ import annotations

from .text import INTEGER, LONGEST_PARSED, NOTHING, OTHER, READS, TEXT, WRITES, fill, give_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .text import Filled

    Tagged = Sequence[tuple[str, Filled]]

AGAIN = 1000  # times, after which all are planned anew, for the tables grow meanwhile
_TYPES = {TEXT: "text", INTEGER: "integer"}


class Prepared:
    """The statements of one connection. The first time one is sent as it is: most connections ask it once."""

    def __init__(self) -> None:
        self._names: dict[tuple[tuple[str, str, str], ...], str] = {}  # "" for what was asked once
        self._count, self._until = 0, AGAIN

    def forget(self) -> None:
        """Prepare all anew: of statements that failed nobody knows which were prepared."""
        self._until = self._count

    def begins_anew(self) -> bool:
        """Whether the server is to forget what was prepared, before anything else is sent."""
        if self._count < self._until:
            return False
        self._names.clear()
        self._until = self._count + AGAIN
        return True

    def write_all(self, asked: Sequence[Filled]) -> list[str]:
        """What gives the rows of each statement, as JSON objects with its place before them."""
        is_long = any(len(value) > LONGEST_PARSED for each in asked for value in each.values.values())
        return [self._write(group, is_long) for group in _group(asked)]

    def write(self, asked: Filled) -> str:
        """A statement of whose rows nobody wants to know."""
        return self._write([("", asked)])

    def _write(self, group: Tagged, is_long: bool = False) -> str:
        """is_long: with what is prepared now the server would keep a long text that goes along."""
        self._count += 1
        if any(OTHER in each.kinds or len(each.sql) > LONGEST_PARSED for _, each in group):  # it will not come again
            return _write_once(group)
        key = tuple([(tag, each.sql, each.kinds) for tag, each in group])
        name = self._names.get(key)
        if name:
            return _execute(name, group)
        if name is None or is_long:
            self._names[key] = ""
            return _write_once(group)
        self._names[key] = name = f"s{self._count}_"  # none begins with another, should one be cut off
        return f"{_prepare(name, group)}\\; {_execute(name, group)}"


def _group(asked: Sequence[Filled]) -> Iterator[list[tuple[str, Filled]]]:
    """Statements with their places as tags; such as only read, one behind the other, can be asked at once."""
    group: list[tuple[str, Filled]] = []
    for tag, each in enumerate(asked):
        if group and (each.kind != READS or group[-1][1].kind != READS):
            yield group
            group = []
        group.append((str(tag), each))
    if group:
        yield group


def _unite(texts: Iterable[str]) -> str:
    return "\nUNION ALL ".join(texts)


def _write_once(group: Tagged) -> str:
    return _unite([each.write_rows(tag) if tag else each.write() for tag, each in group])


def _prepare(name: str, group: Tagged) -> str:
    kinds = "".join([each.kinds for _, each in group]).replace(NOTHING, "")
    types = f"({', '.join([_TYPES[kind] for kind in kinds])})" if kinds else ""
    numbers = iter(range(1, len(kinds) + 1))
    return f"PREPARE {name}{types} AS " + _unite([_prepare_one(tag, each, numbers) for tag, each in group])


def _prepare_one(tag: str, each: Filled, numbers: Iterator[int]) -> str:
    places = {name: value if value == "NULL" else f"${next(numbers)}" for name, value in each.values.items()}
    text = fill(each.sql, places)
    return give_rows(each.sql, text, tag) if tag and each.kind != WRITES else text


def _execute(name: str, group: Tagged) -> str:
    values = ", ".join([value for _, each in group for value in each.values.values() if value != "NULL"])
    return f"EXECUTE {name}({values})" if values else f"EXECUTE {name}"
