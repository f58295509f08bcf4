"""What a refusal says of ids that are like the one that was not found."""
from __future__ import annotations

from ..base.values import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .interface import Row, Storage


def suggest(store: Storage, word: str, known: list[str], listing: str = "") -> str:
    """The end of a "no such …" line: where it was looked for, and the nearest ids known there, or what lists them."""
    near = nearest(word, known, 3)
    if near:
        return f"in {store.directory}: did you mean {' or '.join(near)}?"
    more = f"; {listing} shows those there are" if known and listing else ""
    return f"in {store.directory}: no id is like it{more}"


def find_slip(given: str, rows: list[Row]) -> str:
    """The id of a row that differs in a slip of the fingers from a given one; "" if none does."""
    others = [row["id"] for row in rows if _digits(row["id"]) == _digits(given)]
    return next(iter(nearest(given, others, 1, 0.75) if others else []), "")


def _digits(given: str) -> str:
    return "".join(character for character in given if character.isdigit())
