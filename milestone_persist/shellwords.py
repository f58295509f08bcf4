"""Command lines for people and models to run as they are printed."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@%+,")


def quote(word: str) -> str:
    """A word as every shell reads it back, in quotes where it needs them."""
    return word if word and set(word) <= _SAFE else "'" + word.replace("'", "'\\''") + "'"


def command(words: Sequence[str]) -> str:
    """A shell command line of these words."""
    return " ".join(quote(word) for word in words)


def unquote(word: str) -> str:
    """A word as a shell reads it where somebody typed it, perhaps not to its end; nothing in it is run."""
    import shlex

    for end in ("", '"', "'"):
        try:
            return "".join(shlex.split(word + end))
        except ValueError:  # a quote that is not closed
            continue
    return word
