"""The shell functions as Markdown that every shell can source: headings are comments, and all else is indented code."""
from __future__ import annotations

from ..registry import all_operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_RECOVERY_GUIDE: dict[str, tuple[str, ...]] = {
    "At the start of work, and when an agent is silent": ("detect_interrupted_sessions", "recover_milestone_session"),
    "A planning session": ("resume_planning_agents", "restart_planning_with_artifacts", "complete_planning_session",
                           "create_milestone_from_recovered_planning"),
    "An execution session": ("resume_execution_from_phase", "restart_incomplete_phases",
                             "finalize_milestone_execution"),
    "Giving up and cleaning up": ("abandon_session", "cleanup_stale_coordination", "cleanup_failed_sessions"),
    "Watching": ("start_session_monitor", "stop_session_monitor", "get_session_recovery_status"),
}


def make_markdown_adapter(adapter: str) -> str:
    """storage-adapter.md: the shell file `adapter` under the headings of its groups."""
    return "# Storage adapter: shell functions for agents\n\n" + _as_markdown(adapter)


def make_recovery_document(adapter: str) -> str:
    """milestone-recovery.md: how to recover, then the same functions as in `adapter`."""
    table = {op.name: op for op in all_operations()}
    lines = ["# Milestone recovery\n", *_comment(["Run what detect_interrupted_sessions and recover_milestone_session "
                                                  "print: every option is a command that works."])]
    for heading, names in _RECOVERY_GUIDE.items():
        lines.append(f"\n## {heading}\n")
        for name in names:
            lines += _comment([f"{name} {table[name].usage}".rstrip(), f"  {table[name].summary}"])
    return "\n".join(lines) + "\n\n" + _as_markdown(adapter)


def _comment(lines: Iterable[str]) -> list[str]:
    return [f"    # {line}" for line in lines]


def _as_markdown(adapter: str) -> str:
    headings = {f"# {op.group}" for op in all_operations()}
    lines = adapter.splitlines()[1:]  # without its #!
    return "".join(f"#{line}\n" if line in headings else f"    {line}".rstrip() + "\n" for line in lines)
