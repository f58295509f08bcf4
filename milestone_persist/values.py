"""Checks of the values that come from outside: text, ids, numbers and JSON."""
from __future__ import annotations

from .errors import StorageError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

HOLDS_NUL = "holds a NUL byte: encode it first, e.g. with base64"
DEEPEST_JSON = 500  # SQLite's own parser stops at 1000 levels


# What makes a terminal or a reader see something else than there is: controls, line separators, marks of direction.
CONTROLS = (*range(32), *range(0x7f, 0xa0), 0x061c, 0x200e, 0x200f, *range(0x2028, 0x202f), *range(0x2066, 0x206a))
_AS_JSON = {code: f"\\u{code:04x}" for code in CONTROLS if code >= 0x7f}


def show(text: str) -> str:
    """A text from outside as one line to be printed: what a terminal would act upon, or not show, is an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def has_controls(text: str) -> bool:
    """Whether a text holds one of CONTROLS."""
    return not text.isprintable() and not {*map(ord, text)}.isdisjoint(CONTROLS)


def check_text(value: str, what: str) -> str:
    """Return `value` if a database can hold it as text: no NUL, no lone surrogates."""
    if "\0" in value:
        raise UsageError(f"{what} {HOLDS_NUL}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not UTF-8 text: encode it first, e.g. with base64") from None
    return value


def check_id(value: str, what: str) -> str:
    """Return `value` if it can name something: any text but the empty one, or one with control characters."""
    if not value:
        raise UsageError(f"{what} is empty: give it a name")
    if has_controls(check_text(value, what)):
        raise UsageError(f"{what} holds a control character ({value!r}): give a name without")
    return value


def check_range(value: float, least: float, most: float, what: str) -> None:
    """UsageError unless least <= value <= most."""
    if not least <= value <= most:
        raise UsageError(f"{what} must be from {_plain(least)} to {_plain(most)}, not {_plain(value)}")


def _plain(number: float) -> str:
    """A number as people write it: a whole one without a point or an exponent."""
    return str(int(number)) if number % 1 == 0 else f"{number:g}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is out of range")
    return number


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [inner for outer in level if isinstance(outer, (dict, list))
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return depth


def parse_json(text: str, **options: Any) -> Any:
    """The value of a JSON text, strictly: no NaN, no number out of range, no absurd depth. ValueError says why not.

    options: more of json.loads
    """
    import json

    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _depth(value) > DEEPEST_JSON:
        raise ValueError("nested too deeply")
    return value


def read_stored(text: str, what: str) -> Any:
    """The value of JSON text from the database; StorageError if it is none any more, because somebody spoilt it."""
    try:
        return parse_json(text)
    except ValueError as error:
        raise StorageError(f"{what} cannot be read ({error}): correct it in the database") from None


def dump_json(value: Any, **options: Any) -> str:
    """A value as compact JSON text that keeps every character readable, but for half ones (lone surrogates) and those
    that a terminal would act upon, which are \\uXXXX."""
    import json

    options.setdefault("separators", (",", ":"))
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    return text if text.isprintable() else whole_characters(text.translate(_AS_JSON))


def whole_characters(text: str) -> str:
    """A text that UTF-8 can hold: lone surrogates, which JSON may name, as \\udXXX."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_json(text: str) -> bool:
    """Whether a text is JSON, by the strict reading of `parse_json`."""
    if text.lstrip(" \t\r\n")[:1] not in tuple('{["-0123456789tfn'):
        return False
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


def json_text(value: Any, what: str, kind: type, shape: str) -> str:
    """A JSON argument as text: `value`, JSON text or a Python value, must be of `kind`, called `shape` in errors."""
    try:
        text = value if isinstance(value, str) else dump_json(value)
        parsed = parse_json(text)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} is not JSON ({error}): give {shape}") from None
    if not isinstance(parsed, kind):
        raise UsageError(f"{what} must be {shape}")
    return check_text(text, what)


def json_object(value: Any, what: str) -> str:
    """A JSON object as text, from text or a dict."""
    return json_text(value, what, dict, """an object such as '{"phase": "design"}'""")


def json_strings(value: Any, what: str) -> str:
    """A JSON array of strings as text, from text or a list."""
    text = json_text(value, what, list, """an array of strings such as '["planning"]'""")
    if not all(isinstance(item, str) for item in parse_json(text)):
        raise UsageError(f"""{what} must be an array of strings such as '["planning"]'""")
    return text
