"""Suggestions for unknown words, made only where following them is safe."""
from __future__ import annotations

from .vocabulary import (
    AGENT_STATUSES,
    AGENT_TYPES,
    BACKENDS,
    CHECKPOINT_TYPES,
    HEALTH_STATUSES,
    MESSAGE_TYPES,
    MILESTONE_STATUSES,
    PHASES,
    SESSION_STATUSES,
    STATE_TYPES,
)

MOST_NAMES = 8  # named if a word is part of several

_DONE = "complete completing completion done finish finished finishing succeed succeeded success successful passed"
_STOPPED = "aborted canceled cancelled killed quit stopped terminate"
_RUNNING = "started starting running working busy in_progress inprogress ongoing resumed alive online"
_WAITING = "pause waiting wait suspended blocked on_hold hold held idle sleeping"
_BROKEN = "fail failure failing error errored crashed broken crash timeout timed_out"
# Synonyms of each word of a vocabulary. A word that may mean the opposite, or two of them, is not here.
SYNONYMS: dict[tuple[str, ...], dict[str, str]] = {
    AGENT_STATUSES: {"completed": _DONE, "terminated": _STOPPED + " abandoned abort cancel kill stop",
                     "active": _RUNNING, "paused": _WAITING, "failed": _BROKEN,
                     "spawning": "spawn spawned launching initializing"},
    SESSION_STATUSES: {"completed": _DONE, "abandoned": "aborted canceled cancelled abort cancel abandon "
                       "dropped discarded given_up", "active": _RUNNING + " open", "paused": _WAITING,
                       "failed": _BROKEN},
    MILESTONE_STATUSES: {"completed": _DONE, "active": "started running working open ongoing", "failed": _BROKEN,
                         "paused": "suspended on_hold hold", "cancelled": "canceled aborted dropped"},
    MESSAGE_TYPES: {"task_assignment": "task assignment assign assigned assign_task",
                    "progress_update": "progress update status status_update progress_report heartbeat",
                    "coordination_request": "coordination coordinate request question help help_request",
                    "validation_result": "validation validated validation_report",
                    "error_report": "error failure failed fail error_message bug",
                    "completion_notification": "completion complete completed done finished success task_completed "
                                               "task_complete task_done",
                    "resource_request": "resource resources need_resource", "checkpoint_created": "checkpoint",
                    "phase_transition": "phase transition phase_change"},
    PHASES: {"design": "designing designs", "spec": "specification specifications specify specs",
             "task": "tasks tasking", "execute": "execution executing implementation implement implementing"},
    STATE_TYPES: {"checkpoint": "checkpoints", "user_data": "user data", "system_data": "system",
                  "temp_data": "temp temporary tmp cache"},
    CHECKPOINT_TYPES: {"automatic": "auto automated periodic", "manual": "manually by_hand",
                       "phase_completion": "phase phase_complete phase_completed phase_end",
                       "error_recovery": "error recovery failure"},
    HEALTH_STATUSES: {"healthy": "ok okay good fine well alive up green",
                      "degraded": "slow warning warn impaired yellow", "failing": "fail failed error errors erroring",
                      "unresponsive": "dead hung hanging stuck down frozen"},
    BACKENDS: {"file": "files json", "database": "db"},
    AGENT_TYPES: {"milestone-coordinator": "coordinator", "milestone-executor": "executor",
                  "milestone-planner": "planner", "scope-analyzer": "scope scope-analysis scope-analyst",
                  "estimation-agent": "estimation estimator", "risk-assessor": "risk risk-assessment risk-analyst",
                  "kiro-strategy": "kiro kiro-strategist", "planning-aggregator": "aggregator",
                  "design-phase": "design designer", "spec-phase": "spec specification", "task-phase": "task tasks",
                  "execute-phase": "execute execution", "git-operations": "git", "progress-tracker": "progress tracker",
                  "validation": "validator validation-agent", "retry-handler": "retry",
                  "feature-implementation": "implementation implementer feature feature-implementer"},
}

# Names that other programs use for an operation, where no other operation may be meant.
OTHER_NAMES = {
    "save_agent_state": "set_agent_state put_agent_state store_agent_state write_agent_state set_state put_state",
    "load_agent_state": "get_agent_state read_agent_state fetch_agent_state get_state read_state",
    "get_agent_messages": "receive_agent_messages receive_messages receive_message read_agent_messages read_messages "
                          "fetch_messages check_messages poll_messages wait_for_message wait_for_messages inbox",
    "update_agent_status": "set_agent_status get_agent_status", "create_agent_checkpoint": "save_agent_checkpoint "
                           "save_checkpoint make_checkpoint", "read_milestone_record": "get_milestone_record "
                           "show_milestone load_milestone_record",
    "list_session_agents": "get_session_agents get_agents", "list_coordination_sessions": "get_sessions",
}


def suggest_word(word: str, known: tuple[str, ...]) -> str:
    """The word of a vocabulary that is meant: another spelling, a synonym, or a typing error; "" if there is none."""
    plain = _plain(word)
    for name in known:
        if plain == _plain(name) or plain in map(_plain, SYNONYMS.get(known, {}).get(name, "").split()):
            return name
    return suggest_typed(word, known)


def suggest_typed(word: str, known: tuple[str, ...]) -> str:
    """The only known word that is one or two typing errors away; "" if there is none, or more than one.

    The first letter is seldom mistyped, and what stands before a word may turn it into its opposite: inactive.
    """
    near = [name for name in known if word[:1].lower() == name[:1] and len(word) < 100
            and count_slips(_plain(word), _plain(name)) <= (2 if len(name) > 7 else 1)]
    return near[0] if len(near) == 1 and len(word) > 2 else ""


def suggest_names(word: str, names: tuple[str, ...]) -> list[str]:
    """The names whose words begin with those of `word`, or the one a typing error away; [] if there are too many.

    Where there is none, the one that has it as another name.
    """
    parts = [part for part in word.lower().replace("-", "_").split("_") if part]
    found = [name for name in names if _has_words(name, parts)] if len("".join(parts)) > 2 else []
    leading = [name for name in found if name.startswith(parts[0])]
    found = leading or found
    typed = suggest_typed("_".join(parts), names)
    other = [name for name in names if "_".join(parts) in OTHER_NAMES.get(name, "").split()]
    return found if 0 < len(found) <= MOST_NAMES else [typed] if typed and not found else other


def _has_words(name: str, parts: list[str]) -> bool:
    words = name.split("_")
    return all(any(word.startswith(part) for word in words) for part in parts)


def offer(names: list[str], otherwise: str) -> str:
    """The end of a line that refuses a name: the names to use instead."""
    if not names:
        return otherwise
    return f"did you mean {names[0]}?" if len(names) == 1 else f"one of {', '.join(names[:-1])} or {names[-1]}?"


def count_slips(word: str, other: str) -> int:
    """How many letters were omitted, added, mistaken or swapped with the next (up to the difference in length)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == wanted:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
