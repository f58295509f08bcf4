"""Transcripts: which agents were registered in a conversation, according to the client's file of it.

Each line is a JSON value, as Claude Code, Codex and Gemini CLI write it. Only calls of tools count, and not what
anybody says: a prompt may name an agent that somebody else is to be. Nor what a tool was given or has answered: that
is others' text, in which there may be what looks like a call.
"""
from __future__ import annotations

import json
import re

from ..base.errors import StorageError
from ..base.found import open_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any, BinaryIO

NAME = "(?<![A-Za-z])register[_-]agent"  # and nothing that takes an agent out of a register
COMMANDS = ("command", "cmd")  # what a tool that runs a shell calls its text
GIVEN = ("input", "args", "arguments")  # what a call gives to its tool
ANSWERS = ("result", "output", "response", "functionResponse", "toolUseResult", "structuredContent", "mcpMeta")
LONGEST_LINE = 64 * 1024 * 1024  # bytes; what is longer is left out
# In the text of a shell, or of a program that calls the tool.
_QUOTED = r"""\\?"([^"\\]+)\\?"|\\?'([^'\\]+)\\?'"""
_IN_SHELL = re.compile(NAME + rf"""\s+(?:--new\s+)?(?:--\s+)?(?:{_QUOTED}|([^\s"'\\;&|<>]+))(?=\s)""")
_IN_CODE = re.compile(NAME + rf"""\(\s*\{{[^}}]{{0,500}}?agent_id\\?["']?\s*:\s*(?:{_QUOTED})""")


def find_registered(path: str, agent_ids: Collection[str]) -> set[str] | None:
    """Which of the agents a conversation has registered; None if its file cannot be read."""
    found: set[str] = set()
    try:
        with open_found(path) as file:
            for line in _lines(file):
                if b"register" in line:
                    found.update(_ids_in(line))
    except (OSError, ValueError, StorageError):  # or no path at all
        return None
    return found.intersection(agent_ids)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file except those that are too long, of which only a limited part is held in memory."""
    is_begin = True
    while line := file.readline(LONGEST_LINE):
        is_end = line.endswith(b"\n") or len(line) < LONGEST_LINE
        if is_begin and is_end:
            yield line
        is_begin = is_end


def _ids_in(line: bytes) -> Iterator[str]:
    try:
        yield from _ids_of(json.loads(line))
    except (ValueError, RecursionError):  # a line that is being written
        return


def _ids_of(value: Any) -> Iterator[str]:
    """The ids in all tool calls within a value."""
    if isinstance(value, list):
        for inner in value:
            yield from _ids_of(inner)
    elif isinstance(value, dict) and value.get("type") != "tool_result":
        if isinstance(value.get("name"), str):
            for key in GIVEN:
                yield from _ids_of_call(value["name"], value.get(key))
        for key, inner in value.items():
            if key not in GIVEN and key not in ANSWERS:
                yield from _ids_of(inner)


def _ids_of_call(tool: str, given: Any) -> Iterator[str]:
    """The ids that one tool call registers."""
    if isinstance(given, str):
        try:
            given = json.loads(given)  # Codex keeps arguments as text
        except ValueError:  # it is a program that calls tools
            yield from _words(_IN_SHELL, given)
            yield from _words(_IN_CODE, given)
            return
    if not isinstance(given, dict):
        return
    if re.search(NAME + "$", tool) and isinstance(given.get("agent_id"), str):
        yield given["agent_id"]
    for key in COMMANDS:
        text = given.get(key)
        yield from _words(_IN_SHELL, " ".join(map(str, text)) if isinstance(text, list) else str(text or ""))


def _words(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """Each word that a pattern finds, in quotes or without."""
    return (found[found.lastindex or 0] for found in pattern.finditer(text))
