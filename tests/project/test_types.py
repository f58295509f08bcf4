"""What checkers of types are told of rows and answers, and whether it is so."""
from __future__ import annotations

import ast
import itertools
import subprocess

import pytest
from conftest import ROOT

from milestone_persist.base.errors import Incomplete
from milestone_persist.registry import all_operations

MISSPELT = '''
from milestone_persist import Store
from milestone_persist.coordination.membership import find_agent
from milestone_persist.coordination.sessions import find_session
from milestone_persist.storage.interface import Storage


def inside(storage: Storage) -> None:
    print(find_agent(storage, "a")["stauts"])  # type: ignore[typeddict-item]
    print(find_session(storage, "s")["sesion_id"])  # type: ignore[typeddict-item]


def outside(store: Store) -> None:
    print(store.register_agent("a", "milestone-planner", "m", "s")["stauts"])  # type: ignore[typeddict-item]
    print(store.get_agent_messages("a")[0]["paylod"])  # type: ignore[typeddict-item]
    print(store.recover_milestone_session("s")["agents"][0]["conditoin"])  # type: ignore[typeddict-item]
    number: int = store.list_session_agents("s")[0]["status"]  # type: ignore[assignment]
    print(number, store.list_session_agents("s")[0]["status"])
'''


def test_a_misspelt_column_is_an_error_of_types(tmp_path, need):
    (tmp_path / "client.py").write_text(MISSPELT)
    done = subprocess.run([need("mypy"), "--strict", "client.py"], cwd=tmp_path, env={"MYPYPATH": str(ROOT)},
                          capture_output=True, text=True, check=False)
    assert done.stdout == "Success: no issues found in 1 source file\n"  # an ignored error that is none is one


def read_types():
    """Of each type in the stubs its fields, and which of them may be left out."""
    found = {}
    for name in ("rows", "answers"):
        for node in ast.parse((ROOT / "milestone_persist" / "base" / f"{name}.pyi").read_text()).body:
            if isinstance(node, ast.ClassDef):
                own = {field.target.id: field.annotation for field in node.body if isinstance(field, ast.AnnAssign)}
                bases = [found[base.id] for base in node.bases if base.id != "TypedDict"]
                optional = set(own) if any(word.arg == "total" for word in node.keywords) else set()
                inherited = {name: kind for fields, _ in bases for name, kind in fields.items()}
                found[node.name] = ({**inherited, **own}, optional.union(*(left for _, left in bases)))
            elif isinstance(node, ast.Assign):
                fields = node.value.args[1]
                found[node.targets[0].id] = ({key.value: kind for key, kind in zip(fields.keys, fields.values)}, set())
    return found


TYPES = read_types()
PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "None": type(None), "Any": object}


def mismatch(value, kind, place):
    """Where a value is not what its type says; None if it is."""
    word = ast.unparse(kind)
    if isinstance(kind, ast.BinOp):
        first = mismatch(value, kind.left, place)
        return first and mismatch(value, kind.right, place)
    if word in TYPES:
        fields, optional = TYPES[word]
        wrong = isinstance(value, dict) and (set(value) - set(fields) or set(fields) - set(value) - optional)
        if not isinstance(value, dict) or wrong:
            return f"{place}: {wrong or value} ({word})"
        return next(filter(None, (mismatch(value[name], fields[name], f"{place}.{name}") for name in value)), None)
    if word.startswith("list["):
        return next(filter(None, (mismatch(one, kind.slice, f"{place}[]") for one in value)), None)
    if word.startswith("dict["):
        return None if isinstance(value, dict) else f"{place}: {value!r}"
    if word.startswith("Literal["):
        return None if value in ast.literal_eval(word[len("Literal"):]) else f"{place}: {value!r}"
    is_flag = isinstance(value, bool) and word in ("int", "float")
    return f"{place}: {value!r} ({word})" if is_flag or not isinstance(value, PLAIN[word]) else None


PLANNING, EXECUTION, OTHER, LOST = "planning-m-1", "execution-m-2", "validation-m-3", "planning-m-4"
RESULTS = [("save_agent_state", "e", key, "1") for key in ("design-phase-results", "spec-1", "task-1",
                                                           "execute-phase-results")]
CALLS = [
    ("initialize_agent_coordination",), ("initialize_storage_system",), ("get_current_storage_backend",),
    ("get_optimal_storage_backend",), ("get_storage_config",), ("get_storage_config", "strict_agents"),
    ("set_storage_config", "hybrid_from", "26"), ("register_agent", "p", "milestone-coordinator", "m", PLANNING),
    ("register_agent", "q", "scope-analyzer", "m", PLANNING, ["x"]),
    ("register_agent", "e", "design-phase", "m", EXECUTION), ("register_agent", "o", "validation", "m", OTHER),
    ("register_agent", "l", "risk-assessor", "m", LOST),
    ("update_agent_status", "p"), ("update_agent_status", "q", "active"), ("agent_heartbeat", "p", "healthy"),
    ("save_agent_state", "p", "planning-scope", "1"), ("save_agent_state", "p", "gone", "1"), *RESULTS[:1],
    ("load_agent_state", "p", "planning-scope"), ("load_agent_state", "p", "gone", None, {"full": True}),
    ("load_agent_state", "p", "none", "default", {"full": True}), ("list_agent_state", "p"),
    ("delete_agent_state", "p", "gone"), ("send_agent_message", "p", "q", "x-note", {"a": 1}),
    ("send_agent_message", "p", "q", "x-note", {"a": 2}), ("send_agent_message", "p", "", "x-note", {}),
    ("broadcast_agent_message", "p", "x-note", {}), ("get_agent_messages", "q"), ("get_agent_messages", "q", True),
    ("send_many", "p", [{"to_agent": "q", "message_type": "x-note", "payload": {"a": 3}}]),
    ("save_many", "p", {"planning-scope": "1"}), ("batch", [["load_agent_state", "p", "planning-scope"]]),
    ("acknowledge_agent_message", "q", 1), ("requeue_agent_message", "q", 1),
    ("get_agent_messages", "q", {"brief": True}), ("list_agent_messages", "q"), ("list_session_agents", PLANNING),
    ("create_agent_checkpoint", "p", "manual", __file__), ("list_agent_checkpoints", "p"),
    ("get_session_status", PLANNING), ("update_session_progress", EXECUTION, 12.5, "design"),
    ("list_coordination_sessions",), ("save_planning_artifacts", PLANNING), ("list_planning_sessions",),
    ("resume_planning_session", PLANNING), ("detect_interrupted_sessions",), ("recover_milestone_session", PLANNING),
    ("recover_planning_session",), ("recover_execution_session",), ("get_session_recovery_status",),
    ("show_recovery_help",), ("validate_planning_artifacts", PLANNING), ("resume_planning_agents", PLANNING),
    ("resume_session_agents", OTHER), ("resume_execution_from_phase", EXECUTION),
    ("restart_planning_with_artifacts", PLANNING), ("restart_incomplete_phases", EXECUTION),
    ("restart_milestone_execution", EXECUTION), ("create_milestone_record", "r", "title: one"),
    ("update_milestone_record", "r", "title: two"), ("read_milestone_record", "r"),
    ("read_milestone_record", "r", {"full": True}),
    ("list_milestones",),
    ("search_milestones", "two"), ("get_milestone_analytics",), ("acquire_milestone_lock", "r", {"owner": "p"}),
    ("release_milestone_lock", "r", {"owner": "p"}), ("delete_milestone_record", "r"),
    ("complete_planning_session", PLANNING),
    ("create_milestone_from_planning", PLANNING, "n"),
    ("create_milestone_from_recovered_planning", PLANNING, "n"), *RESULTS,
    ("finalize_milestone_execution", EXECUTION), ("complete_coordination_session", OTHER), ("abandon_session", LOST),
    ("generate_milestone_report", PLANNING), ("report", PLANNING), ("status",), ("list_coordination_events",),
    ("cleanup_stale_coordination", 1), ("cleanup_failed_sessions", 0),
    ("log_milestone_event", "e", "m", "d"), ("log_storage_event", "e", "m", "hybrid", {"a": 1}), ("where",),
    ("whoami",), ("briefing",), ("briefing", "q"), ("hook", "SessionStart", "{}"), ("hook", "Stop", "{}"),
    ("watch", {"agent": "q", "seconds": 0}), ("doctor",), ("doctor", {"fix": True}), ("get_session_monitor_status",),
    ("start_session_monitor", {"once": True}),
]
SAY_OBJECTS = ("save_many", "send_agent_message", "broadcast_agent_message", "log_storage_event")
# Of no store, or of no such answer.
LEFT_OUT = {"stop_session_monitor", "dashboard", "mcp", "generate", "init", "completion", "complete"}


def calls_of_files(place, store):
    """Calls whose words are names of files or what an earlier call has answered, and the move."""
    tmp, project, copy = str(place / "tmp"), str(place / "project"), str(place / "copy")
    backup, export = str(place / "backup.db"), str(place / "export.jsonl")
    yield from [("import_tmp_files", tmp, {"dry_run": True}), ("import_tmp_files", tmp)]
    yield from [("backup_coordination", backup), ("restore_coordination", backup), ("export_coordination", export),
                ("export_coordination", "-"), ("import_coordination", export, {"replace": True})]
    yield "restore_agent_checkpoint", store.list_agent_checkpoints("p")[-1]["checkpoint_id"]
    yield from [("install", project), ("install", project, {"check": True}), ("uninstall", project),
                ("vendor", copy), ("vendor", copy, {"check": True})]
    backend = store.get_current_storage_backend()
    yield from [("migrate_storage_backend", backend, {"dry_run": True}), ("migrate_storage_backend", backend)]


def answer(store, name, *words):
    """What a call returns, or has to tell with its refusal; a dict at the end is its options."""
    options = words[-1] if words and isinstance(words[-1], dict) and name not in SAY_OBJECTS else None
    try:
        return getattr(store, name)(*words[:len(words) - (options is not None)], **(options or {}))
    except Incomplete as error:
        return error.data


@pytest.mark.filterwarnings("ignore")
def test_every_operation_returns_what_its_type_says(store, clock, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "planning-risks.json").write_text('"high"')
    (tmp_path / "tmp" / "planning-empty.json").write_text("")
    kinds = {op.name: ast.parse(op.function.__annotations__["return"], mode="eval").body for op in all_operations()}
    seen, wrong = set(LEFT_OUT), []
    for name, *words in itertools.chain(CALLS, calls_of_files(tmp_path, store)):
        if name == "detect_interrupted_sessions":
            clock.advance(3600)
        seen.add(name)
        if ast.unparse(kinds[name]) != "Row":
            wrong.append(mismatch(answer(store, name, *words), kinds[name], name))
    assert [text for text in wrong if text] == []
    assert seen == set(kinds)
