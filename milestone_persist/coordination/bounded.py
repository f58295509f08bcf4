"""Bounded counts: of a long history at most MOST_COUNTED rows are counted, and the answer says so."""
from __future__ import annotations

from ..base.values import tell_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..storage.interface import Params, Storage

MOST_COUNTED = 1000


class Counts(dict[str, int]):
    """Numbers by name; `at_least` are the names of those whose counting was stopped."""

    def __init__(self, numbers: Mapping[str, int] = {}) -> None:
        super().__init__(numbers)
        self.at_least: list[str] = []

    def add(self, name: str, number: int, is_all: bool = True) -> None:
        """Add a number that was counted up to MOST_COUNTED + 1, or is incomplete."""
        self[name] = min(number, MOST_COUNTED)
        if number > MOST_COUNTED or not is_all:
            self.at_least.append(name)

    def tell(self, name: str) -> str:
        """A number as it is printed: `7`, or `1000+`."""
        return tell_count({**self, "at_least": self.at_least}, name)

    def sum_up(self) -> None:
        """Insert the sum of all numbers before them."""
        numbers = {"total": sum(self.values()), **self}
        self.clear()
        self.update(numbers)
        if self.at_least:
            self.at_least.insert(0, "total")


def count_some(store: Storage, which: str, given: Params = {}, beside: int | None = 0) -> int:
    """The number of rows of `which` (a table, perhaps WHERE), counted up to MOST_COUNTED + 1.

    beside: how many more of them do not count for that; None: count all
    """
    return int(store.execute(f"SELECT {count_first(which, beside)} AS n", given)[0]["n"])


def count_first(which: str, beside: int | None = 0) -> str:
    """The SQL of that number, for one column of a row."""
    limit = "" if beside is None else f" LIMIT {MOST_COUNTED + beside + 1}"
    return f"(SELECT count(*) FROM (SELECT 1 AS one FROM {which}{limit}) AS found)"
