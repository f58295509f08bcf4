"""Text and JSON of an earlier tool's database, as the schema's JSON columns and the program read them."""
from __future__ import annotations

import json

from ...base.values import is_json, parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..interface import Row


def as_text(value: Any) -> str:
    """Any value as text that every backend can store."""
    if isinstance(value, str) and value.isascii() and "\0" not in value:
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    text = "" if value is None else str(value)
    return text if is_clean(text) else "".join(c if is_clean(c) else "\ufffd" for c in text)


def is_clean(value: Any) -> bool:
    """Whether text contains only valid characters: no NUL, and no bytes that are not UTF-8."""
    try:
        return isinstance(value, str) and "\0" not in value and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


def as_json(value: Any) -> str:
    """A value as JSON text, readable where it can be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if is_clean(text) else json.dumps(value, separators=(",", ":"))


def _parsed(value: Any) -> Any:
    """What a JSON column holds: the value, or the text itself where it is not JSON."""
    text = as_text(value)
    return parse_json(text) if is_json(text) else text


def as_object(value: Any) -> str:
    """A JSON object that holds the value: itself, or under `value` if it is other JSON, under `text` if it is none."""
    text = as_text(value)
    if not text:
        return "{}"
    parsed = _parsed(text)
    if isinstance(parsed, dict):
        return text
    return as_json({"text" if not is_json(text) else "value": parsed})


def _items(value: Any) -> list[Any]:
    parsed = _parsed(value)
    return parsed if isinstance(parsed, list) else [] if parsed in ("", None) else [parsed]


def _fit_capabilities(value: Any) -> str:
    return as_json([item if isinstance(item, str) else as_json(item) for item in _items(value)])


def _file_reference(item: Any) -> Row:
    """A file as a checkpoint names it; without a digest later changes cannot be detected."""
    if isinstance(item, dict) and isinstance(item.get("path"), str):
        return {"size": None, "sha256": None, **item, "path": as_text(item["path"])}
    return {"path": as_text(item) if isinstance(item, str) else as_json(item), "size": None, "sha256": None}


def _fit_references(value: Any) -> str:
    return as_json([_file_reference(item) for item in _items(value)])


JSON_COLUMNS: dict[str, Callable[[Any], Any]] = {
    "configuration": as_object, "resource_usage": as_object, "payload": as_object,
    "capabilities": _fit_capabilities, "file_references": _fit_references}


def fit_snapshot(value: Any, made: str | None) -> str:
    """A checkpoint's snapshot in the form that restoring reads: an object, or a list of keys, becomes `state`."""
    parsed = _parsed(value)
    inner = parsed.get("state") if isinstance(parsed, dict) else None
    if isinstance(inner, (dict, list)):
        listed = inner
    else:
        listed = parsed if isinstance(parsed, (dict, list)) else []
    items = list(listed.items()) if isinstance(listed, dict) else [_key_and_value(item) for item in listed]
    state = [_state_item(key, content, made) for key, content in items if key]
    outer = parsed if inner is listed and isinstance(parsed, dict) else {}
    return as_json({"agent": {}, "messages": [], **outer, "state": state, "taken_over": parsed})


def _key_and_value(item: Any) -> tuple[str, Any]:
    if not isinstance(item, dict):
        return "", None
    return str(item.get("state_key") or item.get("key") or ""), item.get("state_value", item.get("value"))


def _state_item(key: str, content: Any, made: str | None) -> Row:
    text = as_text(content) if isinstance(content, str) else as_json(content)
    made = made or "1970-01-01 00:00:00.000"
    return {"state_key": as_text(key), "state_value": text, "state_type": "user_data", "version": 1,
            "is_json": int(is_json(text)), "created_at": made, "updated_at": made, "expires_at": None}
