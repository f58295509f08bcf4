"""Times as the database holds them: UTC text `YYYY-MM-DD HH:MM:SS.SSS`, which sorts as it stands."""
from __future__ import annotations

import time

from .errors import StorageError, UsageError

EARLIEST, LATEST = -30610224000.0, 253402300799.999  # years of four digits, 1000 to 9999


def format_time(seconds: float) -> str:
    """Epoch seconds as UTC text with milliseconds; beyond what that can hold, the nearest that it can."""
    milliseconds = int(min(max(seconds, EARLIEST), LATEST) * 1000 + 0.5)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(milliseconds // 1000)) + ".%03d" % (milliseconds % 1000)


def parse_time(text: str) -> float:
    """UTC text (`YYYY-MM-DD HH:MM:SS[.SSS]`, `T` and `Z` allowed) as epoch seconds; UsageError if it is not that."""
    import datetime

    try:
        parsed = datetime.datetime.fromisoformat(text.strip().replace("T", " ").rstrip("Z"))
        return parsed.replace(tzinfo=parsed.tzinfo or datetime.timezone.utc).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"not a time: {text!r}; write it as 2026-01-31 09:30:00.000 (UTC)") from None


def shift_time(text: str, seconds: float) -> str:
    """The time `seconds` after (before, if negative) the time `text`."""
    return format_time(parse_time(text) + seconds)


def since(earlier: str, later: str) -> str:
    """How long it is from one stored time to another, as people say it: `40 s`, `12 min`, `3 h`, `2 d`."""
    seconds = int(minutes_between(earlier, later) * 60 + 0.5)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def minutes_between(earlier: str, later: str) -> float:
    """Minutes from one stored time to another, never below 0; StorageError if one is not a time."""
    try:
        return max(0.0, (parse_time(later) - parse_time(earlier)) / 60)
    except UsageError as error:
        raise StorageError(f"a stored time is corrupt ({error}): doctor tells where") from None
