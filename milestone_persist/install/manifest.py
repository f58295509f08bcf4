"""The manifest of what `install` has put into a folder, so that it changes and removes nothing else."""
from __future__ import annotations

import os
import re

from ..base.errors import UsageError
from ..base.found import read_found
from .client_files import SERVER
from .sourced_places import NAMES, is_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    from ..storage.interface import Row

    class Choice(TypedDict, total=False):
        """What was requested: the clients, whether by name, and the options."""

        clients: list[str]
        named: bool
        no_hooks: bool
        no_mcp: bool
        version: str
else:
    Choice = dict


# What is written down of a file of others, or of what was asked for, by its name.
_KINDS: dict[str, type | tuple[type, ...]] = {
    "made": (list, bool), "lists": dict, "values": dict, "before": str, "table": str, "allow": list, "hook": str,
    "clients": list, "named": bool, "no_mcp": bool, "no_hooks": bool, "version": str}

# The files that any version has ever written; beside them only links to the program.
_OURS = re.compile(rf"(?:.*/)?(?:{'|'.join(map(re.escape, NAMES))}|milestone_persist"
                   r"|skills/[^/]+/SKILL\.md|\.claude/agents/milestone-\w+\.md)")
LARGEST = 16 * 1024 * 1024  # bytes of a file that is edited or replaced
_LONGEST = 1024 * 1024  # bytes of a manifest


class Item:
    """One file to install: its content or, for a link, its target."""

    def __init__(self, data: bytes = b"", mode: int = 0o644, target: str = "") -> None:
        self.data, self.mode, self.target = data, mode, target

    @property
    def digest(self) -> str:
        """What tells it from any other: where it leads, or the SHA-256 of its bytes."""
        return f"link to {self.target}" if self.target else _digest(self.data)


class Manifest:
    """The installed files, and what to do on removal; all paths are relative to the folder.

    files: for each the digests that are known as ours, the latest first
    kept: where the file is that was in its place before
    directories: those that were made
    shared: for files of others in which there are entries of ours, what was added
    choice: what was asked for; not in manifests of version 0.1
    """

    def __init__(self) -> None:
        self.files: dict[str, list[str]] = {}
        self.kept: dict[str, str] = {}
        self.directories: list[str] = []
        self.shared: dict[str, Row] = {}
        self.choice: Choice = {}

    def dump(self) -> bytes:
        """The manifest as a file holds it."""
        import json

        data = {"made by": "milestone_persist install; uninstall needs it", **vars(self)}
        return (json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()

    @classmethod
    def load(cls, root: str, place: str) -> Manifest | None:
        """The manifest in a folder; None if there is none, UsageError if it cannot be read."""
        import json

        path = os.path.join(root, place)
        manifest, text = cls(), read_found(os.path.realpath(path), _LONGEST + 1)
        if text is None:
            return None
        try:
            if len(text) > _LONGEST:
                raise ValueError
            data = {"choice": {}, **json.loads(text.decode())}
            for name, empty in vars(cls()).items():
                if not isinstance(data[name], type(empty)):
                    raise ValueError(name)
                setattr(manifest, name, data[name])
            manifest._check_paths()
            manifest._leave_out_others(place)
            for record in (*manifest.shared.values(), {**manifest.choice}):
                _check_record(record)
            manifest.shared = {file: _without_others(record) for file, record in manifest.shared.items()}
            for file, known in manifest.files.items():
                _check_file(file, known)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UsageError(f"{path} is damaged: restore it, or remove it to install again") from None
        return manifest

    def _check_paths(self) -> None:
        """ValueError for a path that leads out of the folder: the file may come from a stranger's repository."""
        for path in (*self.files, *self.kept, *self.kept.values(), *self.directories, *self.shared):
            if not is_place(path):
                raise ValueError(path)
        for path, kept in self.kept.items():
            if not re.fullmatch(re.escape(path) + r"\.orig(?:\.\d+)?", kept):
                raise ValueError(kept)


    def _leave_out_others(self, place: str) -> None:
        """Forget entries that belong to no installed file, and folders that are not on the way to one.

        place: the path of the manifest
        """
        self.kept = {path: kept for path, kept in self.kept.items() if path in self.files or path in self.shared}
        ways = {"."}
        for path in (*self.files, *self.shared, place):
            while path not in ways:
                ways.add(path)
                path = os.path.dirname(path) or "."
        self.directories = [path for path in self.directories if path in ways]


def _check_file(path: str, known: list[str]) -> None:
    """ValueError for a file that `install` cannot have made: it would be removed."""
    is_program = {*known} == {Item(target="milestone_persist").digest}
    if not isinstance(known, list) or not (is_program or _OURS.fullmatch(path)):
        raise ValueError(path)


def _without_others(record: Row) -> Row:
    """The record of a file of others, without entries that `install` never makes: they would be removed."""
    import json

    lists = {name: items for name, items in record.get("lists", {}).items()
             if name in ("permissions.allow", "enabledMcpjsonServers")
             or name.startswith("hooks.") and all(SERVER in json.dumps(item) for item in items)}
    values = {name: value for name, value in record.get("values", {}).items()
              if name.startswith("mcpServers.") or name == f"mcp.{SERVER}"}
    return {**record, **({"lists": lists} if "lists" in record else {}),
            **({"values": values} if "values" in record else {})}


def _check_record(record: Row) -> None:
    """ValueError for a value of a kind that we never write."""
    for key, value in record.items():
        if not isinstance(value, _KINDS.get(key, ())):
            raise ValueError(key)
    lists = [record.get("made"), record.get("clients"), record.get("allow")]
    if not all(isinstance(name, str) for names in lists if isinstance(names, list) for name in names):
        raise ValueError(lists)
    if record.get("before", "").strip("\r\n") or record.get("table", "") not in ("", f"mcp_servers.{SERVER}"):
        raise ValueError(record)
    if not all(isinstance(items, list) for items in record.get("lists", {}).values()):
        raise ValueError(record["lists"])


def digest_of(path: str) -> str | None:
    """What is at a path, in the form of Item.digest; None if there is nothing. UsageError for a folder or a device."""
    if os.path.islink(path):
        return f"link to {os.readlink(path)}"
    if not os.path.lexists(path):
        return None
    if not os.path.isfile(path):
        raise UsageError(f"{path} is in the way and no file: move it away first; nothing was changed")
    return _digest(read_file(path))


def read_file(path: str) -> bytes:
    """The contents of a file of a project; UsageError for one that is too large to be edited."""
    with open(path, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than {LARGEST >> 20} MB: move it away first; nothing was changed")
    return data


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
