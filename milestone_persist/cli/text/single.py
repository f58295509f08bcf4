"""Answers for programs: a value, an id, JSON; and the JSON form of every answer."""
from __future__ import annotations

from ...base.values import dump_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...storage.interface import Row


def as_json(data: Any) -> str:
    """Any operation's data as one line of JSON."""
    return dump_json(data)


def json_lines(data: list[Any]) -> str:
    """A line of JSON for each part."""
    return "\n".join(map(as_json, data))


def echo_safe(text: str) -> str:
    """JSON without backslashes that a shell's echo interprets: only \\uXXXX is left, which dash passes through."""
    out: list[str] = []
    position = 0
    codes = {"n": "000a", "r": "000d", "t": "0009", "b": "0008", "f": "000c", '"': "0022", "\\": "005c", "/": "002f"}
    while True:
        found = text.find("\\", position)
        if found < 0:
            return "".join(out) + text[position:]
        out.append(text[position:found] + "\\u")
        after = text[found + 1]
        out.append("" if after == "u" else codes[after])
        position = found + 2


def nothing(data: Any) -> str:
    return ""


def json(data: Any) -> str:
    return as_json(data) + "\n"


def hook_answer(data: Row) -> str:
    return as_json(data) + "\n" if data else ""


def line(data: Any) -> str:
    return f"{data}\n"


def status(data: Row) -> str:
    return "" if data.get("changed") else f"{data['status']}\n"


def state(data: str | Row) -> str:
    return data if isinstance(data, str) else json(data)


def message_id(data: Row) -> str:
    return f"{data['id']}\n" if "id" in data else broadcast(data)


def broadcast(data: Row) -> str:
    return " ".join(str(number) for number in data["ids"]) + "\n"


def checkpoint_id(data: Row) -> str:
    return f"{data['checkpoint_id']}\n"
