"""The table of operations: every declaration is complete, and every example runs."""
from __future__ import annotations

import ast
import shlex

import pytest
from example_scene import AFTER_A_SILENCE, BEFORE
from rooms import PACKAGE, module_name

from milestone_persist.cli.help import overview, page, topic, topics
from milestone_persist.cli.text import find_renderer
from milestone_persist.registry import MODULES, all_operations, operations_of
from milestone_persist.registry.manual import example_of, parameter_help

OPERATIONS = {op.name: op for op in all_operations()}
FIXED = """
initialize_agent_coordination initialize_storage_system get_current_storage_backend get_optimal_storage_backend
migrate_storage_backend get_storage_config set_storage_config register_agent update_agent_status agent_heartbeat
list_session_agents save_agent_state load_agent_state list_agent_state delete_agent_state send_agent_message
get_agent_messages acknowledge_agent_message broadcast_agent_message create_agent_checkpoint list_agent_checkpoints
restore_agent_checkpoint get_session_status update_session_progress list_coordination_sessions save_planning_artifacts
list_planning_sessions resume_planning_session create_milestone_from_planning detect_interrupted_sessions
recover_milestone_session recover_planning_session recover_execution_session resume_planning_agents
complete_planning_session create_milestone_from_recovered_planning restart_planning_with_artifacts abandon_session
resume_execution_from_phase restart_incomplete_phases restart_milestone_execution validate_planning_artifacts
finalize_milestone_execution generate_milestone_report cleanup_stale_coordination cleanup_failed_sessions
get_session_recovery_status start_session_monitor stop_session_monitor show_recovery_help create_milestone_record
read_milestone_record update_milestone_record delete_milestone_record list_milestones search_milestones
get_milestone_analytics acquire_milestone_lock release_milestone_lock list_coordination_events log_milestone_event
log_storage_event
""".split()


def test_every_documented_operation_is_there():
    assert set(FIXED) <= set(OPERATIONS)


def test_no_two_modules_declare_the_same_operation():
    assert len(OPERATIONS) == sum(len(operations_of(module)) for module in MODULES)


def test_every_operation_module_is_in_the_table():
    declaring = {module_name(path) for path in PACKAGE.rglob("*.py")
                 for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
                 for mark in node.decorator_list if getattr(getattr(mark, "func", None), "id", "") == "operation"}
    assert declaring == set(MODULES)


def test_what_needs_no_store_is_declared_apart():
    """And takes a Call, so that the checker of types proves that it runs no SQL."""
    for module in MODULES:
        assert {op.opens for op in operations_of(module).values()} == {module.startswith("operations.")}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_declaration_is_complete(name):
    op = OPERATIONS[name]
    assert set(parameter_help(op)) == {parameter.name for parameter in op.parameters}
    assert op.summary.endswith(".") and len(op.summary) < 120
    assert callable(find_renderer(op.text))
    assert not op.stdin or op.stdin in [parameter.name for parameter in op.positionals]
    assert example_of(op).split()[0] == name
    for parameter in op.parameters:
        assert parameter.flag in page(op) if parameter.option else parameter.name.upper() in page(op)
    shown = name if op.shell else op.command
    assert f"\n  {shown} " in overview() or f"\n  {shown}\n" in overview()
    assert f"\n  {shown} {op.usage}".rstrip() + f"\n      {op.summary}\n" in topic(op.group.lower())


def test_the_list_of_operations_is_short_for_a_reader_who_pays_per_token():
    assert len(overview()) < 60 * len(OPERATIONS)


def test_a_topic_is_a_group_and_never_hides_an_operation():
    assert {name.lower() for name in topics()} == {op.group.lower() for op in OPERATIONS.values()}
    assert not {*topics()} & {name.replace("_", "-") for name in OPERATIONS}
    assert topic("no such") == ""


@pytest.fixture
def backend():
    return "hybrid"


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_example_runs(scene, cli, clock, environ, name):
    environ.pop("MILESTONE_BACKEND")  # as it is for those who try the examples
    BEFORE.get(name, lambda store: None)(scene)
    clock.advance(600 if name in AFTER_A_SILENCE else 0)
    words = shlex.split(example_of(OPERATIONS[name]).partition(" | ")[0])
    try:
        done = cli(*words)
        assert (done.status, done.err) == (0, "")
    finally:
        if name == "start_session_monitor":
            cli("stop-session-monitor")
