"""Deliverables: what a session is to yield (planning artifacts, execution phases), what there is, who makes it."""
from __future__ import annotations

from ..vocabulary import PHASES
from .planning import PLAN, expected_artifacts
from .state import LIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.interface import Row, Storage

WEIGHTS = {"design": 15, "spec": 25, "task": 20, "execute": 40}
PLANNERS = {"planning-scope": "scope-analyzer", "planning-estimates": "estimation-agent",
            "planning-risks": "risk-assessor", "planning-kiro": "kiro-strategy", PLAN: "planning-aggregator"}
ANY_PLANNER = "milestone-planner"  # makes artifacts that no other type is known to make


def list_deliverables(store: Storage, session: Row) -> list[Row]:
    """What a session is to yield, in the order of the work: name, weight in percent, agent_type, saved (keys, by whom).

    A planning session yields its expected artifacts, an execution session its phases, any other nothing in particular.
    """
    keys = store.execute(
        "SELECT s.agent_id, s.state_key, s.updated_at FROM agent_state s JOIN agent_registry a "
        "ON a.agent_id = s.agent_id WHERE a.session_id = :id AND " + LIVE + " ORDER BY s.updated_at, s.state_key",
        {"id": session["session_id"], "now": store.now()})
    if session["operation_type"] == "planning":
        names = expected_artifacts(store)
        return [{"name": name, "weight": 100 / len(names), "agent_type": PLANNERS.get(name, ANY_PLANNER),
                 "saved": [row for row in keys if row["state_key"] == name]} for name in names]
    if session["operation_type"] == "execution":
        return [{"name": name, "weight": WEIGHTS[name], "agent_type": f"{name}-phase",
                 "saved": [row for row in keys if phase_of(row["state_key"]) == name]} for name in PHASES]
    return []


def phase_of(state_key: str) -> str | None:
    """The phase a state key is a result of: `design-phase-results`, `spec-…`, `task-…`, `execute-phase-results`."""
    if state_key in ("design-phase-results", "execute-phase-results"):
        return state_key.partition("-")[0]
    word, dash, _ = state_key.partition("-")
    return word if dash and word in ("spec", "task") else None


def results_of(phase: str) -> str:
    """The state key under which the agent of a phase saves its results."""
    return f"{phase}-phase-results"


def made_by(agent: Row, deliverables: list[Row]) -> str | None:
    """The deliverable an agent is there for: by its type or id or, where nobody registered it, by what it has saved."""
    for item in deliverables:
        savers = [row["agent_id"] for row in item["saved"]] if agent["agent_type"] == "unregistered" else []
        if (agent["agent_type"] == item["agent_type"] != ANY_PLANNER or agent["agent_id"] in savers
                or agent["agent_id"] == maker_id(item, agent["session_id"])):
            return str(item["name"])
    return None


def maker_id(item: Row, session_id: str) -> str:
    """The id of the agent that makes a deliverable where there is none yet."""
    return f"{item['name'] if item['agent_type'] == ANY_PLANNER else item['agent_type']}-{session_id}"


def missing_names(deliverables: list[Row]) -> list[str]:
    """The names of those that nobody has saved yet."""
    return [item["name"] for item in deliverables if not item["saved"]]


def estimate_progress(deliverables: list[Row]) -> float:
    """Percent done, by the weights of what is there."""
    return round(float(sum(item["weight"] for item in deliverables if item["saved"])), 1)


def next_names(deliverables: list[Row]) -> list[str]:
    """What can be worked on now: the first missing phase; of a plan all its missing parts, and then itself."""
    missing = missing_names(deliverables)
    if missing and missing[0] in WEIGHTS:
        return missing[:1]
    return [name for name in missing if name != PLAN] or missing
