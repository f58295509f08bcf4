"""Checks of values from outside: text, ids, numbers and JSON."""
from __future__ import annotations

from .errors import StorageError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

NO_NAMES = ("null", "None", "undefined")  # printed by scripts that have no id
HOLDS_NUL = "holds a NUL byte: encode it first, e.g. with base64"
DEEPEST_JSON = 200  # of input: jq stops at 256 levels, and output adds a few
_loads: Any = None  # of json_text, loaded when first needed: many calls need no JSON
_dumps: Any = None
_checked: set[tuple[str, str]] = set()  # ids that were found good, and what they are ids of
MOST_KEPT = 1000
DEEPEST_STORED = 500  # of values accepted by an earlier version: SQLite's own parser stops at 1000


# Characters that make a terminal or a reader see something else: controls, line separators, direction marks.
CONTROLS = (*range(32), *range(0x7f, 0xa0), 0x061c, 0x200e, 0x200f, *range(0x2028, 0x202f), *range(0x2066, 0x206a))
_AS_JSON = {code: f"\\u{code:04x}" for code in CONTROLS if code >= 0x7f}


def show(text: str) -> str:
    """A text from outside as one printable line: characters that a terminal interprets or hides are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def tell_count(row: Mapping[str, Any], name: str) -> str:
    """A number of an answer as it is printed: `7`, or `1000+` if the answer's at_least names it."""
    return f"{row[name]}{'+' * (name in row['at_least'])}"


def has_controls(text: str) -> bool:
    """Whether a text contains one of CONTROLS."""
    return not text.isprintable() and not {*map(ord, text)}.isdisjoint(CONTROLS)


def check_text(value: str, what: str) -> str:
    """Return `value` if a database can store it as text: no NUL, no lone surrogates; else UsageError on `what`."""
    if "\0" in value:
        raise UsageError(f"{what} {HOLDS_NUL}")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not UTF-8 text: encode it first, e.g. with base64") from None
    return value


def text_of_path(path: str) -> str:
    """A path as text that a row can hold: what in it is not UTF-8 as escapes."""
    return path.encode(errors="backslashreplace").decode()


def check_id(value: str, what: str) -> str:
    """Return `value` if it can name something: any text but the empty one, or one with control characters.

    UsageError on `what` for these, and for what stands for a name or has the form of something else.
    """
    if (what, value) in _checked:
        return value
    if not value:
        raise UsageError(f"{what} is empty: give it a name")
    if not (value.isascii() and value.isprintable()) and has_controls(check_text(value, what)):
        _refuse_controls(value, what)
    if value in NO_NAMES or " " in value or value[:2] == '{"' or what in value.upper().replace("-", "_"):
        _refuse_form(value, what)
    if len(_checked) >= MOST_KEPT:
        _checked.clear()
    _checked.add((what, value))
    return value


def _refuse_controls(value: str, what: str) -> None:
    lines = value.splitlines()
    shown = f"{len(lines)} lines, from {lines[0]!r:.60} on" if lines[1:] else repr(value)
    raise UsageError(f"{what} holds a control character ({shown}): give a name without")


def _refuse_form(value: str, what: str) -> None:
    """UsageError for a name that is only a placeholder of a form: AGENT_ID, <your-agent-id>, agent_id=x, null;
    or that is a line which an operation has printed.
    """
    if value in NO_NAMES:
        raise UsageError(f"{what} is {value!r}, which is what programs print for none: give the name itself")
    plain = value.upper().replace("-", "_").strip("<>${}[]_")
    if plain == what or value[:1] + value[-1:] == "<>":
        raise UsageError(f"{what} is {value!r}, which only stands for it: put the name itself there")
    if plain.startswith(what + "="):
        raise UsageError(f"{what} is {value!r}: give the value alone, in its place")
    if "KEY" not in what.upper() and what != "--owner":  # a key may be any text; a lock's line stands for its token
        from .printed import tell_printed

        wrong = tell_printed(value, what)
        if wrong:
            raise UsageError(f"{what} {wrong}")


def check_range(value: float, least: float, most: float, what: str) -> None:
    """UsageError unless least <= value <= most."""
    if not least <= value <= most:
        raise UsageError(f"{what} must be from {_plain(least)} to {_plain(most)}, not {_plain(value)}")


def check_version(version: int | None) -> None:
    """UsageError for an impossible version, which would look as if another writer had been first."""
    if version is not None and version < 0:
        raise UsageError(f"--if-version must be 0 or more, not {version}")


def _plain(number: float) -> str:
    """A number for people: whole numbers without a decimal point or exponent."""
    return str(int(number)) if number % 1 == 0 else f"{number:g}"


class TooDeep(ValueError):
    """JSON nested more deeply than every reader accepts."""

    def __str__(self) -> str:
        return f"nested too deeply, more than {DEEPEST_JSON} levels"


def _depth(value: Any) -> int:
    """The nesting depth of objects and arrays."""
    depth, level = 0, [value]
    while True:
        level = [outer for outer in level if isinstance(outer, (dict, list))]
        if not level:
            return depth
        depth += 1
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]


def parse_json(text: str, deepest: int = DEEPEST_JSON, **options: Any) -> Any:
    """The value of a JSON text, strictly: no NaN, no number out of range, no absurd depth. ValueError says why not.

    deepest: how many objects and arrays may stand one in another
    options: more of json.loads
    """
    global _loads
    if _loads is None:
        from .json_text import loads as _loads
    try:
        value = _loads(text, **options)
    except RecursionError:
        raise TooDeep from None
    if _may_be_deeper(text, deepest) and _depth(value) > deepest:
        raise TooDeep
    return value


def _may_be_deeper(text: str, deepest: int) -> bool:
    """Whether a text has enough brackets for more than so many levels; each level takes two characters."""
    return len(text) > 2 * deepest and text.count("{") + text.count("[") > deepest


def read_stored(text: str, what: str) -> Any:
    """The value of JSON text from the database; StorageError if it is corrupt."""
    try:
        return parse_json(text, DEEPEST_STORED)
    except ValueError as error:
        raise StorageError(f"{what} cannot be read ({error}): correct it in the database") from None


def dump_json(value: Any, **options: Any) -> str:
    """A value as compact JSON text that every reader can parse and print: half characters become U+FFFD, and
    characters that a terminal interprets become \\uXXXX."""
    text = _dump(value, **options)
    if text.isascii() and "\x7f" not in text or text.isprintable():  # JSON has escapes for the other ASCII controls
        return text
    return whole_characters(text.translate(_AS_JSON))


def _dump(value: Any, **options: Any) -> str:
    global _dumps
    if _dumps is None:
        from .json_text import dumps as _dumps
    text: str = _dumps(value, **options)
    return text


def whole_characters(text: str) -> str:
    """A text that UTF-8 can encode: half characters (lone surrogates), which JSON may contain, become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return text


def whole_escapes(text: str) -> str:
    """A JSON text in which escapes of half characters are replaced by U+FFFD. Nothing else is changed."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    import re

    pair, half = r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..", r"\\u[dD][89a-fA-F].."
    return re.sub(f"{pair}|({half})|\\\\.", lambda found: r"\ufffd" if found[1] else found[0], text)


def is_json(text: str) -> bool:
    """Whether a text is JSON, by the strict reading of `parse_json`."""
    if text.lstrip(" \t\r\n")[:1] not in tuple('{["-0123456789tfn'):
        return False
    try:
        parse_json(text, why=False)
    except ValueError:
        return False
    return True


def json_text(value: Any, what: str, kind: type, shape: str, warn: Callable[[str], None]) -> str:
    """A JSON argument as text that every reader can parse; warns of half characters in it.

    value: JSON text or a Python value, of `kind`, which errors call `shape`; UsageError if it is not
    """
    try:
        if isinstance(value, str):
            given, text = value, whole_escapes(value)
        else:
            given = _dump(value)
            text = whole_characters(given)
        is_dumped = type(value) is kind and not _may_be_deeper(text, DEEPEST_JSON)
        parsed = value if is_dumped else parse_json(text)
    except (TooDeep, RecursionError):
        raise UsageError(f"{what} is nested too deeply: make it at most {DEEPEST_JSON} levels deep") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} is not JSON ({error}): give {shape}") from None
    if not isinstance(parsed, kind):
        raise UsageError(f"{what} must be {shape}")
    if parsed is not value:
        check_text(text, what)
    if text != given:
        warn(f"{what} names half a character (a surrogate without the other), which many readers of JSON refuse: it is "
             "U+FFFD now")
    return text


def json_value(value: Any, what: str, kind: type, shape: str) -> Any:
    """A structured JSON argument from text or a Python value; UsageError unless of `kind`, in errors called `shape`."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise UsageError(f"{what} is not JSON ({error}): give {shape}") from None
    elif kind is list and isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, kind):
        raise UsageError(f"{what} must be {shape}")
    return value


def json_object(value: Any, what: str, warn: Callable[[str], None]) -> str:
    """A JSON object as text, from text or a dict."""
    return json_text(value, what, dict, """an object such as '{"phase": "design"}'""", warn)


def json_strings(value: Any, what: str, warn: Callable[[str], None]) -> str:
    """A JSON array of strings as text, from text or a list; UsageError if it is none."""
    text = json_text(value, what, list, """an array of strings such as '["planning"]'""", warn)
    if not all(isinstance(item, str) for item in parse_json(text)):
        raise UsageError(f"""{what} must be an array of strings such as '["planning"]'""")
    return text


def nearest(word: str, known: list[str], count: int = 1, least: float = 0.65) -> list[str]:
    """The known ids most similar to `word`, best first. They have to begin alike, because many share their ends."""
    import difflib

    near = difflib.get_close_matches(word, known, 20, least)
    return [name for name in near if _begin_alike(word.partition("-")[0], name.partition("-")[0])][:count]


def _begin_alike(first: str, other: str) -> bool:
    """Whether the first part of an id, which names a role, abbreviates another one or is spelled almost like it."""
    import difflib

    return (first.startswith(other) or other.startswith(first) or
            difflib.SequenceMatcher(None, first, other).ratio() >= 0.6)


def is_own(word: str) -> bool:
    """Whether a word is a custom one (`x-…`)."""
    return word.startswith("x-") and len(word) > 2


def check_word(word: str, known: tuple[str, ...], what: str, extensible: bool = False) -> str:
    """Return `word` if it is one of `known` (or `x-…` if `extensible`); UsageError names the word that is meant."""
    if word in known or (extensible and is_own(word)):
        return word
    from .suggestions import suggest_word

    meant = suggest_word(word, known)
    hint = f"did you mean {meant}?" if meant else "use one of: " + ", ".join(known)
    own = " (or x-YOURS)" if extensible else ""
    raise UsageError(f"unknown {what} {word!r}: {hint}{own}")
