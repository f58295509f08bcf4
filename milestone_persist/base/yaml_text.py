"""Writing YAML that any reader of YAML 1.1 or 1.2 accepts: block style, every string quoted or a literal block."""
from __future__ import annotations

from .values import dump_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LONGEST_KEY = 500  # parsers stop looking for the colon after 1024 characters


def dump_yaml(value: Any) -> str:
    """A JSON-like value (dicts, lists, text, numbers, booleans, None) as a YAML document."""
    return "\n".join(_lines(value, 0)) + "\n"


def _lines(value: Any, indent: int) -> Iterator[str]:
    """The lines of a value in block style."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            head = _key(str(key))
            if len(head) > LONGEST_KEY:
                yield f"{pad}? {head}"
                head = ""
            yield from _entry(f"{pad}{head}:", inner, indent)
    elif isinstance(value, (list, tuple)) and value:
        for inner in value:
            yield from _entry(f"{pad}-", inner, indent)
    else:
        yield pad + _scalar(value)


def _entry(head: str, value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, (dict, list, tuple)) and value:
        yield head
        yield from _lines(value, indent + 1)
    elif isinstance(value, str) and _is_block(value):
        pad = "  " * (indent + 1)
        yield f"{head} |2{'' if value.endswith(chr(10)) else '-'}"
        for line in value.removesuffix("\n").split("\n"):
            yield pad + line if line else ""
    else:
        yield f"{head} {_scalar(value)}"


def _is_block(text: str) -> bool:
    """Whether a text is best written as a literal block, and can be read back exactly."""
    body = text.removesuffix("\n")
    return "\n" in body and bool(body.strip()) and not body.endswith("\n") and all(
        c == "\n" or c == "\t" or (c.isprintable() and c not in "\x85\u2028\u2029\ufeff") for c in text)


def _key(key: str) -> str:
    words = key.replace("-", "").replace("_", "")
    plain = words.isascii() and words.isalpha() and key[0].isalpha() and \
        key.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
    return key if plain else _scalar(key)


def _scalar(value: Any) -> str:
    """A value on one line. JSON is YAML, except for characters that YAML needs escaped."""
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # 1e+20 is text to a YAML 1.1 reader
    text = dump_json(value)
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return "\\u%04x" % code if code < 0x10000 else "\\U%08x" % code
