"""JSON by the part of the standard module that is written in C: all of it would be a quarter of a call.

That part is private to CPython, so it only says yes: what it does not take goes to the module, which says why not. So
does everything on a Python without that part.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

make_scanner: Any
make_encoder: Any
try:
    import _json
    make_scanner, make_encoder, _quote = _json.make_scanner, _json.make_encoder, _json.encode_basestring
except (ImportError, AttributeError):
    make_scanner = make_encoder = None

BLANKS = " \t\n\r"


class _Decoder:
    """What the scanner asks of a decoder."""

    strict, object_hook, object_pairs_hook = True, None, None

    def __init__(self, parse_float: Callable[[str], float], parse_int: Callable[[str], int],
                 parse_constant: Callable[[str], object]) -> None:
        self.parse_float, self.parse_int, self.parse_constant = parse_float, parse_int, parse_constant


def loads(text: str, parse_float: Callable[[str], float], parse_int: Callable[[str], int],
          parse_constant: Callable[[str], object], why: bool = True, **options: Any) -> Any:
    """json.loads of a text, with what it takes. why: whether an error is to say what is wrong: that is the module's."""
    if make_scanner and not options and isinstance(text, str):
        try:
            scan = make_scanner(_Decoder(parse_float, parse_int, parse_constant))
            value, end = scan(text, len(text) - len(text.lstrip(BLANKS)))
            if not text[end:].strip(BLANKS):
                return value
        except (StopIteration, ValueError, TypeError, RecursionError, SystemError):
            pass  # SystemError: the part cannot name its error, for its class is in the module, which is not loaded
        if not why:
            raise ValueError("no JSON")
    import json

    return json.loads(text, parse_float=parse_float, parse_int=parse_int, parse_constant=parse_constant, **options)


def dumps(value: Any, separators: tuple[str, str] = (",", ":"), sort_keys: bool = False, **options: Any) -> str:
    """json.dumps of a value, with what it takes: as text that is not ASCII alone, without NaN."""
    if make_encoder and not options:
        try:
            between, behind_key = separators
            encode = make_encoder({}, _refuse, _quote, None, behind_key, between, sort_keys, False, False)
            return "".join(encode(value, 0))
        except (ValueError, TypeError, RecursionError):
            pass
    import json

    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=separators, sort_keys=sort_keys, **options)


def _refuse(value: object) -> NoReturn:
    raise TypeError
