"""Times as the database stores them: UTC text `YYYY-MM-DD HH:MM:SS.SSS`, which sorts as text."""
from __future__ import annotations

import time

from .errors import StorageError, UsageError

_FIRST_DAY = 719163  # 1970-01-01, counted from the first of January of the year 1
EARLIEST, LATEST = -30610224000.0, 253402300799.999  # years of four digits, 1000 to 9999
_seconds: dict[int, str] = {}  # the seconds formatted last, and their text
_written: dict[int, str] = {}  # the same for milliseconds


def format_time(seconds: float) -> str:
    """Epoch seconds as UTC text with milliseconds; out of range, the nearest possible time."""
    if not EARLIEST <= seconds <= LATEST:
        seconds = min(max(seconds, EARLIEST), LATEST)
    milliseconds = int(seconds * 1000 + 0.5)
    return _written.get(milliseconds) or _write(milliseconds)


def _write(milliseconds: int) -> str:
    whole, rest = divmod(milliseconds, 1000)
    second = _seconds.get(whole)
    if second is None:
        second = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole))
        if len(_seconds) > 7:
            _seconds.clear()
            _written.clear()
        _seconds[whole] = second
    text = _written[milliseconds] = f"{second}.{rest:03}"
    return text


def parse_time(text: str) -> float:
    """UTC text (`YYYY-MM-DD HH:MM:SS[.SSS]`, `T` and `Z` allowed) as epoch seconds; UsageError for any other text."""
    seconds = _read_stored(text)
    if seconds is not None:
        return seconds
    import datetime

    try:
        parsed = datetime.datetime.fromisoformat(text.strip().replace("T", " ").rstrip("Z"))
        return parsed.replace(tzinfo=parsed.tzinfo or datetime.timezone.utc).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"not a time: {text!r}; write it as 2026-01-31 09:30:00.000 (UTC)") from None


def _read_stored(text: str) -> float | None:
    """A time in the stored form; None for any other text. (Importing `datetime` would cost a tenth of a call.)"""
    parts = text[:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:19], text[20:]
    if len(text) != 23 or text[4:20:3] != "-- ::." or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    year, month, day, hour, minute, second, milliseconds = map(int, parts)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 28 + is_leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not (year and 1 <= month <= 12 and 1 <= day <= lengths[month - 1] and hour < 24 and minute < 60 and second < 60):
        return None
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 + sum(lengths[:month - 1]) + day - _FIRST_DAY
    return ((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milliseconds) / 1000


def read_time(text: str) -> float:
    """A stored time as epoch seconds; StorageError if it is none: nobody has given it in this call."""
    try:
        return parse_time(text)
    except UsageError as error:
        raise StorageError(f"a stored time is corrupt ({error}): doctor tells where") from None


def shift_time(text: str, seconds: float) -> str:
    """The time `seconds` after (before, if negative) the stored time `text`."""
    return format_time(read_time(text) + seconds)


def since(earlier: str, later: str) -> str:
    """The duration from one stored time to another, for people."""
    return tell_age(minutes_between(earlier, later))


def tell_age(minutes: float) -> str:
    """A duration for people, short enough for a table: `40 s`, `12 min`, `3 h`, `2 d`."""
    seconds = int(minutes * 60 + 0.5)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def minutes_between(earlier: str, later: str) -> float:
    """Minutes from one stored time to another, never below 0; StorageError if one is not a time."""
    return max(0.0, (read_time(later) - read_time(earlier)) / 60)
