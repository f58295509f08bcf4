"""Headings of a milestone record: the keys at the top level of its text, YAML or not."""
from __future__ import annotations

from ..base.errors import UsageError
from ..base.values import check_text

HEADINGS = ("id", "title", "status", "priority")


def read_headings(text: str) -> dict[str, str]:
    """The id, title, status and priority at the top level of a record, unquoted."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        key, colon, value = line.partition(":")
        if colon and key in HEADINGS and key not in found and value.strip()[:1] not in ("", "|", ">"):
            found[key] = _unquote(value.strip())
    return found


def _unquote(value: str) -> str:
    if value[:1] == '"' and value.count('"') > 1:
        import json

        try:
            return check_text(str(json.loads(value[:value.rindex('"') + 1])), "a heading")
        except (ValueError, UsageError):
            return value.strip('"')
    if value[:1] == "'" and value.count("'") > 1:
        return value[1:value.rindex("'")].replace("''", "'")
    return value.partition(" #")[0].rstrip()
