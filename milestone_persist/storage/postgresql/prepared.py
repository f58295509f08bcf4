"""What the server keeps parsed for a connection: a statement that it was asked before needs nothing but its values."""
from __future__ import annotations

from .text import fill, give_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .text import Filled

AGAIN = 1000  # statements, after which all are planned anew, for the tables grow meanwhile
_TYPES = {"t": "text", "i": "integer"}


class Prepared:
    """The statements of one connection. The first time one is sent as it is: most connections ask it once."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str, bool], str] = {}  # "" for what was asked once
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

    def write(self, asked: Filled, tag: str = "") -> str:
        """A statement that gives its rows as JSON objects behind `tag`; without one they are not looked at."""
        self._count += 1
        kinds = "".join([_find_kind(value) for value in asked.values.values()])
        key = asked.sql, kinds, bool(tag)
        name = self._names.get(key)
        if name is None or "-" in kinds:
            self._names[key] = ""
            return asked.write_rows(tag) if tag else asked.write()
        values = ([f"'{tag}'"] if tag else []) + [value for value in asked.values.values() if value != "NULL"]
        if name:
            return f"EXECUTE {name}({', '.join(values)})"
        self._names[key] = name = f"s{self._count}"
        types = ["text"] * bool(tag) + [_TYPES[kind] for kind in kinds if kind in _TYPES]
        numbers = iter(range(1 + bool(tag), 1 + len(types)))
        text = fill(asked.sql, {each: value if value == "NULL" else f"${next(numbers)}"
                                for each, value in asked.values.items()})
        body = give_rows(asked.sql, text, "$1 || ") if tag else text
        return f"PREPARE {name}({', '.join(types)}) AS {body}\\; EXECUTE {name}({', '.join(values)})"


def _find_kind(value: str) -> str:
    """Of a written value: text, a whole number that is an integer for the server, nothing, or another."""
    if value.startswith("("):
        return "i" if len(value) < 12 and value[1:-1].lstrip("-").isdigit() else "-"
    return "n" if value == "NULL" else "t"
