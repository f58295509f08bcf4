"""The head of a file store: how often it was written, and facts about the rows so that not all have to be read.

It may have come with a cloned repository: what names no table, folder or file as we do is passed over.
"""
from __future__ import annotations

import json
import os

from ...base.tables import LARGEST_NUMBER, NUMBERED, SCHEMA_VERSION
from ..directory import INNER
from .journal import FOLDERS
from .layout import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..interface import Row
    from .journal import Contents, StoreFiles

STATE = folder_of("agent_state") + "/"


class Head:
    """Parse the text of a head; some kind of error if it is not one.

    version: of the schema
    sequences: the last number given out in each numbered table
    counts: how many files of rows each folder has: so doctor finds that one was removed; earlier versions tell none
    expiring: the files of keys that expire, and when: who saves removes those that have, and reads no others
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._facts: Row = json.loads(text)
        self.version: int = self._facts["schema_version"]
        sequences, counts = self._facts["sequences"], self._facts.get("files", {})
        for number in (self.version, self._facts["generation"], *sequences.values(), *map(abs, counts.values())):
            if type(number) is not int or not 0 <= number < LARGEST_NUMBER:
                raise ValueError(number)
        if not self.version:
            raise ValueError("version 0")
        self.sequences: dict[str, int] = {name: sequences[name] for name in sequences if name in NUMBERED}
        self.counts: dict[str, int] | None = {
            folder: counts[folder] for folder in counts if folder in FOLDERS or folder in INNER
        } if "files" in self._facts else None
        self.expiring = _read_expiring(self._facts.get("expiring"))

    def next(self, files: StoreFiles, changed: Contents, sequences: dict[str, int]) -> Head:
        """The head to write with these files, which are not in place yet."""
        return _write_head({
            **self._facts, "schema_version": SCHEMA_VERSION, "generation": self._facts["generation"] + 1,
            "expiring": _tell_expiring(self.expiring, changed),
            "sequences": {name: min(number, LARGEST_NUMBER - 1)  # of a row that is a stranger's
                          for name, number in sequences.items()},
            "files": _count_files(self.counts or {}, files, changed)})


def first_head() -> Head:
    """The head before anything is written."""
    return _write_head({"store": os.urandom(8).hex(), "generation": 0, "schema_version": SCHEMA_VERSION,
                        "sequences": {}})


def version_in(data: bytes) -> int:
    """The schema version in a head, whatever else is in it; 0 if there is none."""
    try:
        return int(json.loads(data)["schema_version"])
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return 0


def _write_head(facts: Row) -> Head:
    return Head(json.dumps(facts, indent=1) + "\n")


def _count_files(counts: dict[str, int], files: StoreFiles, changed: Contents) -> dict[str, int]:
    counts = {**counts}
    for name, text in changed.items():
        folder = name.rpartition("/")[0]
        if folder != "config":
            counts.setdefault(folder, files.count(folder))
            counts[folder] += (text is not None) - files.exists(name)
    return counts


def _read_expiring(told: object) -> dict[str, str]:
    return {STATE + name: time for name, time in told.items()
            if isinstance(time, str) and "/" not in name and name.endswith(".json") and name[0] != "."
            } if isinstance(told, dict) else {}


def _tell_expiring(before: dict[str, str], changed: Contents) -> dict[str, str]:
    found: dict[str, str | None] = {**before}
    for name, text in changed.items():
        if name.startswith(STATE):
            found[name] = None if text is None else json.loads(text).get("expires_at")
    return {name[len(STATE):]: time for name, time in sorted(found.items()) if time}
