"""Recovery: what there is for it."""
from __future__ import annotations

from ..registry import all_operations, operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.call import Call
    from ..storage.interface import Row

GROUP = "Recovery"


@operation(text="recovery_help")
def show_recovery_help(call: Call) -> list[Row]:
    """Show what there is for recovery, a line for each function.

    Example: show_recovery_help
    """
    return [{"name": op.name, "usage": op.usage, "summary": op.summary}
            for op in all_operations() if op.group == GROUP]
