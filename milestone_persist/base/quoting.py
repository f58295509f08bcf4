"""Command lines for people and models to run as they are printed."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@%+,")


def quote(word: str) -> str:
    """A word quoted, where necessary, so that every shell reads it back; control characters as numeric escapes."""
    if word and set(word) <= _SAFE:
        return word
    if word.isprintable():
        return "'" + word.replace("'", "'\\''") + "'"
    begin = word.rstrip("\n")  # newlines at the end as they are: $( ) would strip them
    shown = "".join(c if c.isprintable() and c not in "'%\\!" else _by_number(c) for c in begin)
    return f"\"$(printf '{shown}')\"" + (f"'{word[len(begin):]}'" if word != begin else "")


def _by_number(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def command(words: Sequence[str]) -> str:
    """A shell command line of these words."""
    return " ".join(quote(word) for word in words)


def command_on(name: str, values: Sequence[str], options: Sequence[str] = ()) -> str:
    """The same for values chosen by others: after -- if one begins with a dash."""
    has_dash = any(value.startswith("-") for value in values)
    return command([name, *options, "--", *values] if has_dash else [name, *values, *options])


def unquote(word: str) -> str:
    """A typed word, perhaps incomplete, as a shell would read it; nothing in it is run."""
    import shlex

    for end in ("", '"', "'"):
        try:
            return "".join(shlex.split(word + end))
        except ValueError:  # a quote that is not closed
            continue
    return word
