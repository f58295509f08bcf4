"""Detects printed lines given as a value instead of the name in them: id=$(register_agent …) holds a whole line."""
from __future__ import annotations

import re
import shlex

_LINES = (
    ("register_agent", r"registered (?P<AGENT>.+) \(\S+\) in session (?P<SESSION>\S+?)(?: again)?(?:: .*)?"),
    ("restore_agent_checkpoint", r"restored \d+ keys of (?P<AGENT>.+); previous state saved as (?P<CHECKPOINT>\S+)"),
    ("acquire_milestone_lock", r"locked (?P<MILESTONE>.+?) (?:for .+ )?until \d{4}-.*"),
    ("a call about a record", r"milestone (?P<MILESTONE>.+?)(?:: .+, version \d+| (?:created|is there already): .*)"),
    ("list_planning_sessions", r'\{"sessions":.*'),
    ("a list", r"(?P<ANY>\S+)  +\S.*"),
)
_LONGEST = 1000  # characters of a line that may be one of these
_FILES = r"\d+ rows(?:; restore with: restore_coordination| in) (.+)"


def tell_printed(value: str, what: str) -> str:
    """What is wrong with a value for `what` (AGENT_ID, --session …) that is a printed line; "" if it is not one."""
    for origin, form in _LINES:
        found = len(value) < _LONGEST and re.fullmatch(form, value)
        if found:
            names = found.groupdict()
            name = names.get("ANY") or next((names[key] for key in names if key in what.upper()), "")
            return f"is a line that {origin} printed: give " + (f"{name} alone" if name else "the id in it alone")
    return ""


def file_printed(value: str) -> str:
    """The file named in a line printed by backup_coordination or export_coordination; "" if it is not such a line."""
    found = re.fullmatch(_FILES, value.strip()) if len(value) < 2 * _LONGEST else None
    try:
        return (shlex.split(found[1]) if "restore with" in value else [found[1]])[0] if found else ""
    except ValueError:
        return ""
