"""The keys that expire, as the head tells them: whoever saves removes those that have, and need not read all others."""
from __future__ import annotations

import json

from .layout import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..interface import Row
    from .journal import Contents

FOLDER = folder_of("agent_state") + "/"


def read_expiring(head: Row) -> dict[str, str]:
    """The files of rows that expire, and when, as a head tells; what it tells may be from anybody."""
    told = head.get("expiring")
    return {FOLDER + name: time for name, time in told.items()
            if isinstance(time, str) and "/" not in name and name.endswith(".json") and name[0] != "."
            } if isinstance(told, dict) else {}


def tell_expiring(before: dict[str, str], changed: Contents) -> dict[str, str]:
    """What the next head tells, once these files are changed."""
    found: dict[str, str | None] = {**before}
    for name, text in changed.items():
        if name.startswith(FOLDER):
            found[name] = None if text is None else json.loads(text).get("expires_at")
    return {name[len(FOLDER):]: time for name, time in sorted(found.items()) if time}
