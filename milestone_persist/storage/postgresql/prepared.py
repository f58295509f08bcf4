"""Prepared statements of a connection: a statement that was sent before needs only its values."""
from __future__ import annotations

from .text import INTEGER, LONGEST_PARSED, NOTHING, OTHER, READS, TEXT, WRITES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .text import Filled

AGAIN = 1000  # times, after which all are planned anew, for the tables grow meanwhile
_TYPES = {TEXT: "text", INTEGER: "integer"}


class Prepared:
    """The statements of one connection. A statement is prepared the second time: most connections send it once."""

    def __init__(self) -> None:
        self._names: dict[tuple[object, ...], str] = {}  # "" for what was asked once
        self._count, self._until = 0, AGAIN

    def forget(self) -> None:
        """Prepare all again: after a failure it is unknown which were prepared."""
        self._until = self._count

    def begins_anew(self) -> bool:
        """Whether the server has to deallocate the prepared statements before anything else is sent."""
        if self._count < self._until:
            return False
        self._names.clear()
        self._until = self._count + AGAIN
        return True

    def write_all(self, asked: Sequence[Filled]) -> list[str]:
        """What gives the rows of each statement, as JSON objects with its place before them.

        Such as only read are asked at once.
        """
        if len(asked) > 1 and {each.kind for each in asked} == {READS}:
            return [self._write(asked, 0, asked)]
        return [self._write([each], place, asked) for place, each in enumerate(asked)]

    def write(self, asked: Filled) -> str:
        """A statement whose rows are not needed."""
        return self._write([asked], None, [asked])

    def _write(self, group: Sequence[Filled], place: int | None, along: Sequence[Filled]) -> str:
        """place: that of the first
        along: what is sent together: the server keeps all of the text in which something is prepared
        """
        self._count += 1
        key = (place, *[each.form for each in group])
        name = self._names.get(key)
        if name:
            return _execute(name, group)
        if name is None or _is_long(text for each in along for text in each.texts):
            if not any(OTHER in each.form[1] for each in group) and not _is_long(each.form[0] for each in group):
                self._names[key] = ""  # else it will not come again
            return _unite(group, place, [each.write() for each in group])
        self._names[key] = name = f"s{self._count}_"  # none begins with another, should one be cut off
        return f"{_prepare(name, group, place)}\\; {_execute(name, group)}"


def _is_long(texts: Iterable[str]) -> bool:
    return any(len(text) > LONGEST_PARSED for text in texts)


def _unite(group: Sequence[Filled], place: int | None, texts: Sequence[str]) -> str:
    """One text of theirs; place: that of the first, None where nobody wants rows."""
    if place is None:
        return texts[0]
    return "\nUNION ALL ".join([each.give_rows(text, str(tag))
                                for tag, (each, text) in enumerate(zip(group, texts), place)])


def _prepare(name: str, group: Sequence[Filled], place: int | None) -> str:
    kinds = "".join([each.form[1] for each in group]).replace(NOTHING, "")
    types = f"({', '.join([_TYPES[kind] for kind in kinds])})" if kinds else ""
    places = iter([f"${number}" for number in range(1, len(kinds) + 1)])
    texts = [each.fill(places) for each in group]
    return f"PREPARE {name}{types} AS " + _unite(group, None if group[0].kind == WRITES else place, texts)


def _execute(name: str, group: Sequence[Filled]) -> str:
    values = ", ".join([text for each in group for text in each.texts])
    return f"EXECUTE {name}({values})" if values else f"EXECUTE {name}"
