"""The vocabularies, and how a word from outside is checked against them."""
from __future__ import annotations

AGENT_TYPES = (
    "milestone-coordinator", "milestone-executor", "milestone-planner", "scope-analyzer", "estimation-agent",
    "risk-assessor", "kiro-strategy", "planning-aggregator", "design-phase", "spec-phase", "task-phase",
    "execute-phase", "git-operations", "progress-tracker", "validation", "feature-implementation",
    "retry-handler", "unregistered",
)
MESSAGE_TYPES = (
    "task_assignment", "progress_update", "coordination_request", "validation_result", "error_report",
    "completion_notification", "resource_request", "phase_transition", "checkpoint_created",
)
MESSAGE_STATES = ("pending", "taken", "acknowledged", "dead")
AT_WORK = ("spawning", "active")  # agents that are expected to send heartbeats
GOING_ON = (*AT_WORK, "paused")
DIED = ("failed", "terminated")  # set for an agent by others
ENDED_AGENT = ("completed", *DIED)
AGENT_STATUSES = (*GOING_ON, *ENDED_AGENT)
STATE_TYPES = ("checkpoint", "progress", "user_data", "system_data", "temp_data")
OPERATION_TYPES = ("planning", "execution", "validation", "recovery", "cleanup")
OPEN_SESSION = ("active", "paused")
GIVEN_UP = ("failed", "abandoned")
ENDED = ("completed", *GIVEN_UP)  # sessions
SESSION_STATUSES = (*OPEN_SESSION, *ENDED)
# The usual values in records; a record may have any other.
MILESTONE_STATUSES = ("planned", "pending", "active", "in_progress", "paused", "blocked", "completed", "failed",
                      "abandoned", "cancelled")
PHASES = ("design", "spec", "task", "execute")
CHECKPOINT_TYPES = ("automatic", "manual", "phase_completion", "error_recovery")
HEALTH_STATUSES = ("healthy", "degraded", "failing", "unresponsive")
MOST_NAMED = 12  # ids named in one line
BACKENDS = ("file", "hybrid", "database")
# The words that a parameter accepts, by its name, or by operation and name where the name is ambiguous.
WORDS = {
    "agent_type": AGENT_TYPES, "message_type": MESSAGE_TYPES, "phase": PHASES, "state_type": STATE_TYPES,
    "checkpoint_type": CHECKPOINT_TYPES, "health": HEALTH_STATUSES, "backend": BACKENDS, "take": ("true", "false"),
    "shell": ("bash", "zsh"), "list_agent_messages state": MESSAGE_STATES, "update_agent_status status": AGENT_STATUSES,
    "list_coordination_sessions status": SESSION_STATUSES, "list_milestones status": ("all", *MILESTONE_STATUSES),
}


def any_of(words: tuple[str, ...]) -> str:
    """Words as a list in SQL: status IN any_of(AT_WORK)."""
    return "('" + "', '".join(words) + "')"


def words_for(operation: str, parameter: str) -> tuple[str, ...]:
    """The words that a parameter of an operation accepts; empty if it is not limited to a vocabulary."""
    return WORDS.get(f"{operation} {parameter}") or WORDS.get(parameter) or ()
