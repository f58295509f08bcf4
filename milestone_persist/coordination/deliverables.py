"""Deliverables: what a session has to produce (planning artifacts, execution phases), what exists, and from whom."""
from __future__ import annotations

from ..base.quoting import command
from ..base.tables import LIVE
from ..base.values import is_own, show
from ..base.vocabulary import PHASES
from .artifacts import BRIEF, PLAN, expected_artifacts, flaw_of
from .snapshots import list_displaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..base.answers import AgentHead, Deliverable, Flawed, NearKey, Piece, Result, Results, SessionHead
    from ..storage.interface import Row, Storage

WEIGHTS = {"design": 15, "spec": 25, "task": 20, "execute": 40}
PLANNERS = {"planning-scope": "scope-analyzer", "planning-estimates": "estimation-agent",
            "planning-risks": "risk-assessor", "planning-kiro": "kiro-strategy", PLAN: "planning-aggregator"}
# Words of keys under which agents keep what goes into a phase, or how it goes.
NO_RESULT = ("input", "inputs", "request", "assignment", "context", "prompt", "config", "scope", "state", "status",
             "progress", "session", "checkpoint", "log", "retry", "retries", "lock", "error", "errors", "failure",
             "failures", "failed", "validation", "todo", "draft")
EXECUTION_KEYS = ("s.state_key IN ('design-phase-results', 'execute-phase-results') "
                  "OR substr(s.state_key, 1, 5) IN ('spec-', 'task-')")
ANY_PLANNER = "milestone-planner"  # makes artifacts that no other type is known to make


def list_deliverables(store: Storage, session: SessionHead) -> list[Deliverable]:
    """A session's deliverables, in the order of the work: name, weight in percent, agent_type, saved, empty, near.

    A planning session yields its expected artifacts, an execution session its phases, any other nothing in particular.
    `saved` lists the keys saved in the session, by whom and when, `empty` those that are no results and why (flaw),
    `near`, where nothing is saved, keys that may be meant, and under which key they would count (save_as).
    """
    kind = session["operation_type"]
    names = expected_artifacts(store) if kind == "planning" else PHASES if kind == "execution" else ()
    keys = {f"key{number}": key for number, key in enumerate(names)}
    counts = " OR ".join(f"s.state_key = :{name}" for name in keys) if kind == "planning" else EXECUTION_KEYS
    rows = store.execute(
        f"SELECT s.agent_id, s.state_key, s.updated_at, CASE WHEN {counts} THEN {BRIEF} END AS brief "
        f"FROM agent_state s WHERE s.saved_in = :id AND {LIVE} ORDER BY s.updated_at, s.state_key, s.agent_id",
        {"id": session["session_id"], "now": store.now(), **keys}) if names else []
    displaced = [{**row, "brief": row["state_value"]} for row in list_displaced(store, session["session_id"])]
    if displaced:
        rows = sorted(rows + displaced, key=lambda row: (row["updated_at"], row["state_key"], row["agent_id"]))
    found: list[Deliverable] = [
        {"name": name, "weight": WEIGHTS[name] if name in WEIGHTS else 100 / len(names),
         "agent_type": f"{name}-phase" if name in WEIGHTS else PLANNERS.get(name, ANY_PLANNER),
         **_sort_out(row for row in rows if _counts_as(row["state_key"], name)), "near": []} for name in names]
    for item in found:
        item["near"] = [] if item["saved"] else _find_near(rows, item["name"])
    return found


def _counts_as(state_key: str, name: str) -> bool:
    return phase_of(state_key) == name if name in WEIGHTS else state_key == name


def _sort_out(rows: Iterable[Row]) -> Results:
    """The results of a deliverable, and invalid ones, with what is wrong."""
    found: Results = {"saved": [], "empty": []}
    for row in rows:
        flaw = flaw_of(row["brief"])
        told: Result = {"agent_id": row["agent_id"], "state_key": row["state_key"], "updated_at": row["updated_at"]}
        if flaw:
            found["empty"].append({**told, "flaw": flaw})
        else:
            found["saved"].append(told)
    return found


def _find_near(rows: list[Row], name: str) -> list[NearKey]:
    found: list[NearKey] = []
    for row in rows:
        meant = "" if _counts_as(row["state_key"], name) else _near_key(row["state_key"], name)
        if meant:
            found.append({"agent_id": row["agent_id"], "state_key": row["state_key"], "save_as": meant})
    return found


def _near_key(state_key: str, name: str) -> str:
    """The deliverable's key meant by one that differs in spelling, or by a typing error; else ""."""
    import difflib
    import re

    spaced = re.sub("[^a-z0-9]+", "-", re.sub("([a-z])([A-Z])", r"\1-\2", state_key).lower()).strip("-")
    words = [word for word in spaced.split("-") if not word.isdigit()]
    wanted = results_of(name) if name in WEIGHTS else name
    if spaced.startswith("older-") or any(word in NO_RESULT and word not in wanted.split("-") for word in words):
        return ""
    if phase_of(spaced) == name:
        return spaced
    if name in WEIGHTS:
        words = words[1:] if words[:1] == ["milestone"] else words
        if words and words[0].startswith(name[:6]) and words[-1] in ("result", "results"):
            return wanted
    forms = (wanted,) if name in WEIGHTS else (wanted, wanted.partition("-")[2] or wanted)
    bare = "-".join(words)
    near = any(difflib.get_close_matches(text, forms, 1, 0.85) for text in (bare, bare.partition("milestone-")[2]))
    return wanted if near else ""


def phase_of(state_key: str) -> str | None:
    """The phase a state key is a result of: `design-phase-results`, `spec-…`, `task-…`, `execute-phase-results`.

    Not `spec-phase-…` or `task-phase-…` but for its results, nor where the first or last word behind `spec-` or `task-`
    is one of NO_RESULT: that is what goes into a phase, or how it goes.
    """
    phase, _, rest = state_key.partition("-")
    if phase not in PHASES or rest == "phase-results":
        return phase if phase in PHASES else None
    words = [word for word in rest.replace("_", "-").replace(".", "-").lower().split("-") if not word.isdigit()]
    if phase not in ("spec", "task") or not rest or words[:1] == ["phase"]:
        return None
    return None if words and (words[0] in NO_RESULT or words[-1] in NO_RESULT) else phase


def results_of(phase: str) -> str:
    """The state key under which the agent of a phase saves its results."""
    return f"{phase}-phase-results"


def made_by(agent: AgentHead, deliverables: list[Deliverable]) -> str | None:
    """The deliverable of an agent: by its type or id or, if these do not say, by what it saved."""
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
    """The id for the agent of a deliverable that has none yet."""
    return f"{item['name'] if item['agent_type'] == ANY_PLANNER else item['agent_type']}-{session_id}"


def missing_names(deliverables: list[Deliverable]) -> list[str]:
    """The names of the missing deliverables."""
    return [item["name"] for item in deliverables if not item["saved"]]


def estimate_progress(deliverables: list[Deliverable]) -> float:
    """Percent done, by the weights of the existing deliverables."""
    return round(float(sum(item["weight"] for item in deliverables if item["saved"])), 1)


def tell_near(row: NearKey) -> str:
    """The line about a key that almost matches, with the command that saves it under the right one."""
    load = command(["load_agent_state", row["agent_id"], row["state_key"]])
    save = command(["save_agent_state", row["agent_id"], row["save_as"], "-"])
    return (f"{show(row['state_key'])} of {show(row['agent_id'])} does not count; if it is {row['save_as']}: "
            f"{load} | {save}")


def tell_flaw(row: Flawed) -> str:
    """The line about a value under a result's key that is not a result."""
    return f"{show(row['state_key'])} of {show(row['agent_id'])} is {row['flaw']}"


def next_names(deliverables: list[Deliverable]) -> list[str]:
    """What can be worked on now: the first missing phase; for a plan, all its missing parts, then the plan itself."""
    missing = missing_names(deliverables)
    if missing and missing[0] in WEIGHTS:
        return missing[:1]
    return [name for name in missing if name != PLAN] or missing
