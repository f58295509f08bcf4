"""Deliverables: what a session is to yield (planning artifacts, execution phases), what there is, who makes it."""
from __future__ import annotations

from ..base.values import is_own
from ..base.vocabulary import PHASES
from .artifacts import BRIEF, PLAN, expected_artifacts, is_empty
from .snapshots import LIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..base.answers import AgentHead, Deliverable, Piece, Results, SessionHead
    from ..storage.interface import Row, Storage

WEIGHTS = {"design": 15, "spec": 25, "task": 20, "execute": 40}
PLANNERS = {"planning-scope": "scope-analyzer", "planning-estimates": "estimation-agent",
            "planning-risks": "risk-assessor", "planning-kiro": "kiro-strategy", PLAN: "planning-aggregator"}
ANY_PLANNER = "milestone-planner"  # makes artifacts that no other type is known to make


def list_deliverables(store: Storage, session: SessionHead) -> list[Deliverable]:
    """What a session is to yield, in the order of the work: name, weight in percent, agent_type, saved, empty.

    A planning session yields its expected artifacts, an execution session its phases, any other nothing in particular.
    `saved` lists the keys saved in the session, by whom and when, `empty` those in which nothing is said.
    """
    rows = store.execute(f"SELECT s.agent_id, s.state_key, s.updated_at, {BRIEF} FROM agent_state s "
                         f"WHERE s.saved_in = :id AND {LIVE} ORDER BY s.updated_at, s.state_key, s.agent_id",
                         {"id": session["session_id"], "now": store.now()})
    if session["operation_type"] == "planning":
        names = expected_artifacts(store)
        return [{"name": name, "weight": 100 / len(names), "agent_type": PLANNERS.get(name, ANY_PLANNER),
                 **_sort_out(row for row in rows if row["state_key"] == name)} for name in names]
    if session["operation_type"] == "execution":
        return [{"name": name, "weight": WEIGHTS[name], "agent_type": f"{name}-phase",
                 **_sort_out(row for row in rows if phase_of(row["state_key"]) == name)} for name in PHASES]
    return []


def _sort_out(rows: Iterable[Row]) -> Results:
    """The results of a piece of work: those that say something, and the others."""
    found: Results = {"saved": [], "empty": []}
    for row in rows:
        found["empty" if is_empty(row) else "saved"].append(
            {"agent_id": row["agent_id"], "state_key": row["state_key"], "updated_at": row["updated_at"]})
    return found


def phase_of(state_key: str) -> str | None:
    """The phase a state key is a result of: `design-phase-results`, `spec-…`, `task-…`, `execute-phase-results`."""
    if state_key in ("design-phase-results", "execute-phase-results"):
        return state_key.partition("-")[0]
    word, dash, _ = state_key.partition("-")
    return word if dash and word in ("spec", "task") else None


def results_of(phase: str) -> str:
    """The state key under which the agent of a phase saves its results."""
    return f"{phase}-phase-results"


def made_by(agent: AgentHead, deliverables: list[Deliverable]) -> str | None:
    """The deliverable an agent is there for: by its type or id or, where its type tells nothing, by what it saved."""
    for item in deliverables:
        if (agent["agent_type"] == item["agent_type"] != ANY_PLANNER
                or agent["agent_id"] == maker_id(item, agent["session_id"])):
            return str(item["name"])
    if agent["agent_type"] == "unregistered" or (is_own(agent["agent_type"])
                                                 and not agent["agent_type"].endswith("coordinator")):
        for item in deliverables:
            if agent["agent_id"] in [row["agent_id"] for row in item["saved"]]:
                return str(item["name"])
    return None


def maker_id(item: Piece, session_id: str) -> str:
    """The id of the agent that makes a deliverable where there is none yet."""
    return f"{item['name'] if item['agent_type'] == ANY_PLANNER else item['agent_type']}-{session_id}"


def missing_names(deliverables: list[Deliverable]) -> list[str]:
    """The names of those that nobody has saved yet."""
    return [item["name"] for item in deliverables if not item["saved"]]


def estimate_progress(deliverables: list[Deliverable]) -> float:
    """Percent done, by the weights of what is there."""
    return round(float(sum(item["weight"] for item in deliverables if item["saved"])), 1)


def next_names(deliverables: list[Deliverable]) -> list[str]:
    """What can be worked on now: the first missing phase; of a plan all its missing parts, and then itself."""
    missing = missing_names(deliverables)
    if missing and missing[0] in WEIGHTS:
        return missing[:1]
    return [name for name in missing if name != PLAN] or missing
