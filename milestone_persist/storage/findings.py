"""doctor's findings: what is wrong, where, how bad it is, and what to do."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Finding

UNSOUND, UNWRITABLE, NOTE, FIXED, SOUND = "unsound", "unwritable", "note", "fixed", "sound"


def finding(where: str, what: str, do: str = "", severity: str = UNSOUND, fixable: bool = False) -> Finding:
    """One finding; fixable: whether doctor --fix repairs it without loss."""
    return {"severity": severity, "where": where, "what": what, "do": do, "fixable": fixable}


def line_of(found: Finding) -> str:
    """A finding in words, without its location."""
    return str(found["what"]) + (f": {found['do']}" if found["do"] else "")


def is_unsound(found: Finding) -> bool:
    """Whether a finding tells of damage, not only of something to know."""
    return bool(found["severity"] == UNSOUND)
