"""The environment variables of this process, as they are at each look."""
from __future__ import annotations

import os
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class _Environment(Mapping[str, str]):
    """os.environ, but a look for a variable that is not set costs a tenth of the two errors that it raises there."""

    def __init__(self, variables: Mapping[str, str], as_bytes: dict[bytes, bytes]) -> None:
        self._variables, self._as_bytes = variables, as_bytes

    def get(self, name: str, default: Any = None) -> Any:
        return self._variables.get(name, default) if name.encode() in self._as_bytes else default

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def live_environment() -> Mapping[str, str]:
    """os.environ by the dictionary behind it, which is private to CPython; itself, where that is not there."""
    behind: Any = getattr(os.environ, "_data", None)
    is_usual = type(behind) is dict and all(type(name) is bytes for name in behind)
    return _Environment(os.environ, behind) if is_usual else os.environ
