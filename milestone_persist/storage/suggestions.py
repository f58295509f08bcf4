"""Suggestions in refusals: ids similar to the one that was not found."""
from __future__ import annotations

from ..base.values import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .interface import Row, Storage

NO_STORE = "there is no store there; if your project is elsewhere, cd to it"


def suggest(store: Storage, word: str, known: list[str], listing: str = "") -> str:
    """The end of a "no such …" line: where it was looked for, and the nearest ids known there, or what lists them."""
    if store.is_unmade:
        return f"in {store.directory}: {NO_STORE}"
    near = offer_near(word, known)
    if near:
        return f"in {store.directory}: {near}"
    more = f"; {listing} shows those there are" if known and listing else ""
    return f"in {store.directory}: no id is like it{more}"


def offer_near(word: str, known: list[str]) -> str:
    """The nearest known ids as suggestions; those with other numbers belong to others and are only listed."""
    near = nearest(word, known, 3)
    meant = [name for name in near if name.startswith(word) or _numbers(word) in ([], _numbers(name))]
    if meant:
        return f"did you mean {' or '.join(meant)}?"
    return f"there {'are' if near[1:] else 'is'} {', '.join(near)}" if near else ""


def find_slip(given: str, rows: list[Row]) -> str:
    """The id of a row that differs from a given one by a typing error; "" if there is none."""
    others = [row["id"] for row in rows if _numbers(row["id"]) == _numbers(given)]
    return next(iter(nearest(given, others, 1, 0.75) if others else []), "")


def _numbers(given: str) -> list[int]:
    """The numbers in an id."""
    return [int(part) for part in "".join(c if c in "0123456789" else " " for c in given[:1000]).split()]
