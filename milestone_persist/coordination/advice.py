"""Advice: the options for a session, each as a command that works as printed."""
from __future__ import annotations

from ..base.quoting import quote
from .artifacts import PLAN
from .deliverables import WEIGHTS
from .membership import SILENT
from .session_view import RECOVERABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Option, QuietAgents, Survey

SAY_DEAD = "update_agent_status"


def list_options(view: Survey) -> list[Option]:
    """The options for a session, the best first: label, and command as a list of words."""
    kind = view["operation_type"]
    lists = {"planning": _planning, "execution": _execution}
    chosen = _ended(view) if view["status"] == "completed" else lists.get(kind, _plain)(view)
    return [{"label": label, "command": [name, *([] if name == SAY_DEAD else [view["session_id"]]), *more]}
            for label, name, *more in chosen]


def _ended(view: Survey) -> list[tuple[str, ...]]:
    report = ("Generate milestone report", "generate_milestone_report")
    return [*_create(view), report] if view["operation_type"] == "planning" else [report]


def _create(view: Survey) -> list[tuple[str, ...]]:
    """Creating the milestone: not twice, and under another id if its own has a foreign record."""
    if not view["can_become"]:
        return []
    more = () if view["can_become"] == view["milestone_id"] else (view["can_become"],)
    return [("Create milestone from plan", "create_milestone_from_recovered_planning", *more)]


def has_saved(view: Survey) -> bool:
    """Whether any deliverable of the session exists."""
    return any(item["saved"] for item in view["deliverables"]) or bool(view["artifacts"])


def has_plan(view: Survey) -> bool:
    """Whether a planning session can be completed as it is."""
    return PLAN in view["artifacts"]


def _planning(view: Survey) -> list[tuple[str, ...]]:
    finish = [("Complete planning session", "complete_planning_session"), *_create(view)]
    resume = [("Resume planning agents", "resume_planning_agents")]
    restart = [("Restart planning with the artifacts there are", "restart_planning_with_artifacts")]
    if not view["missing"]:
        return finish + resume
    if is_at_work(view):
        return (finish if has_plan(view) else []) + _wait() + _say_dead(view) + _abandon(view)
    if has_plan(view):
        return finish + resume + restart + _abandon(view)
    if has_saved(view):
        return resume + restart + finish + _abandon(view)
    return resume + _abandon(view)


def _execution(view: Survey) -> list[tuple[str, ...]]:
    if not view["missing"]:
        return [("Finalize milestone execution", "finalize_milestone_execution"),
                ("Generate milestone report", "generate_milestone_report")]
    if is_at_work(view):
        return _wait() + _say_dead(view) + _abandon(view)
    phase = view["missing"][0]
    resume = [(f"Resume execution from phase {phase}", "resume_execution_from_phase", phase)]
    if not has_saved(view) and _all_done(view):
        return resume + _plain(view)
    incomplete = [("Restart incomplete phases", "restart_incomplete_phases")] if has_saved(view) else []
    restart = [("Restart milestone execution", "restart_milestone_execution")]
    report = [("Generate milestone report", "generate_milestone_report")] if has_saved(view) else []
    return resume + incomplete + restart + report + _abandon(view)


def _plain(view: Survey) -> list[tuple[str, ...]]:
    """Options for a session without deliverables."""
    resume = [(f"Resume {view['operation_type']} agents", "resume_session_agents")]
    finish = [(f"Complete {view['operation_type']} session", "complete_coordination_session")]
    if is_at_work(view):
        return _wait() + _say_dead(view) + finish + _abandon(view)
    if _all_done(view):
        return finish + _abandon(view)
    return (resume if view["counts"]["recoverable"] else []) + finish + _abandon(view)


def _all_done(view: Survey) -> bool:
    found = [agent["condition"] for agent in view["agents"]]
    return "completed" in found and not any(word in (*RECOVERABLE, "alive", "paused") for word in found)


def is_at_work(view: Survey) -> bool:
    """Whether live agents are working on an active session: then leave it alone."""
    return view["status"] == "active" and not view["interrupted"] and view["counts"]["alive"] > 0


def _wait() -> list[tuple[str, ...]]:
    return [("Let its agents work, and look again", "get_session_status")]


def _say_dead(view: Survey) -> list[tuple[str, ...]]:
    """Options for the live agents that were silent longest: only a person can tell that one is dead.

    Its error is that of silence: one that is heard from after all is active again.
    """
    return [(f"If {quote(row['agent_id'])} is dead (silent for {row['minutes']:g} min), say so", SAY_DEAD,
             row["agent_id"], "failed", "--error", f"{SILENT}{row['minutes']:.0f} min")
            for row in view["quiet"]["longest"]]


def _abandon(view: Survey) -> list[tuple[str, ...]]:
    return [] if view["status"] == "abandoned" else [("Abandon session", "abandon_session")]


def _doubt(quiet: QuietAgents) -> str:
    """Options if some live agents may be dead, which is not known yet while others are heard from."""
    if not quiet["agents"]:
        return ""
    names = ", ".join(quote(name) for name in quiet["agents"])
    return (f", unless those silent for over {quiet['minutes']} min are dead ({names}): "
            f"cleanup_stale_coordination {quiet['minutes']} marks such agents failed")


def verdict(view: Survey) -> str:
    """One line on where a session stands."""
    if view["status"] in ("completed", "abandoned"):
        return f"session is {view['status']}"
    if view["operation_type"] == "planning" and not view["missing"]:
        return "✅ All planning artifacts present - session can be completed"
    if view["operation_type"] == "execution" and not view["missing"]:
        return "✅ All execution phases present - session can be finalized"
    if is_at_work(view):
        return "agents are alive: nothing to recover" + _doubt(view["quiet"])
    if view["operation_type"] == "planning" and has_plan(view):
        return f"{PLAN} is present - session can be completed"
    if view["next"] and view["next"][0] in WEIGHTS:
        return f"resumes at phase {view['next'][0]}"
    return "session is interrupted" if view["interrupted"] else f"session is {view['status']}"
