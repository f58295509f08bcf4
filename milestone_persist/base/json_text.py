"""JSON by the C part of the standard module: importing all of it would cost a quarter of a call.

That part is private to CPython, so it only says yes: what it does not take goes to the module, which says why not. So
does everything on a Python without that part.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

make_scanner: Any
make_encoder: Any
try:
    import _json
    make_scanner, make_encoder, _quote = _json.make_scanner, _json.make_encoder, _json.encode_basestring
except (ImportError, AttributeError):
    make_scanner = make_encoder = None

BLANKS = " \t\n\r"
COMPACT = (",", ":")
_FORMS = {"separators", "sort_keys"}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts at once
        raise ValueError(f"a number of {len(text)} digits is out of range") from None


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is out of range")
    return number


class _Decoder:
    """What the scanner needs from a decoder; plain `int` saves a call for each number: the module reports errors."""

    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant = _finite, int, _refuse_constant


def _refuse(value: object) -> NoReturn:
    raise TypeError


def _make_encode(separators: tuple[str, str] = COMPACT, sort_keys: bool = False) -> Any:
    """Encoder without markers: a value that contains itself is too deep, and the module says why."""
    between, behind_key = separators
    return make_encoder(None, _refuse, _quote, None, behind_key, between, sort_keys, False, False)


if make_scanner:  # created once, as the module does with its own
    _scan, _encode = make_scanner(_Decoder), _make_encode()


def loads(text: str, why: bool = True, **options: Any) -> Any:
    """json.loads of a text, strictly: no NaN, no number out of range; ValueError where it is none.

    why: whether an error is to say what is wrong: that is the module's
    """
    if make_scanner and not options and isinstance(text, str):
        try:
            value, end = _scan(text, len(text) - len(text.lstrip(BLANKS)))
            if end == len(text) or not text[end:].strip(BLANKS):
                return value
        except (StopIteration, ValueError, TypeError, RecursionError, SystemError):
            pass  # SystemError: the C part's error class is in the module, which is not loaded
        if not why:
            raise ValueError("no JSON")
    import json

    return json.loads(text, parse_float=_finite, parse_int=_whole, parse_constant=_refuse_constant, **options)


def dumps(value: Any, **options: Any) -> str:
    """json.dumps of a value: compact, not restricted to ASCII, without NaN."""
    if make_encoder and options.keys() <= _FORMS:
        try:
            return "".join((_make_encode(**options) if options else _encode)(value, 0))
        except (ValueError, TypeError, RecursionError):
            pass
    import json

    return json.dumps(value, **{"ensure_ascii": False, "allow_nan": False, "separators": COMPACT, **options})
