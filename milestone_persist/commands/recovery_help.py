"""Recovery: its functions."""
from __future__ import annotations

from ..registry import all_operations, operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import RecoveryFunction
    from ..storage.call import Call

GROUP = "Recovery"
# Of other groups what a recovering person needs: to look, to say who is dead, to get at what was saved.
HELPFUL = ("get_session_status", "list_coordination_sessions", "list_planning_sessions", "list_session_agents",
           "resume_planning_session", "save_planning_artifacts", "create_milestone_from_planning", "register_agent",
           "update_agent_status", "get_agent_messages", "requeue_agent_message", "list_agent_state", "load_agent_state",
           "save_agent_state", "list_agent_checkpoints", "restore_agent_checkpoint",
           "import_tmp_files", "read_milestone_record", "release_milestone_lock")


@operation(text="recovery_help")
def show_recovery_help(call: Call) -> list[RecoveryFunction]:
    """List the functions for recovery, one line each.

    Example: show_recovery_help
    """
    found = {op.name: op for op in all_operations()}
    names = [name for name, op in found.items() if op.group == GROUP]
    return [{"name": name, "usage": found[name].usage, "summary": found[name].summary} for name in [*names, *HELPFUL]]
