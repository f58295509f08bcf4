"""Recovery: what is detected, and what each operation puts back where ordinary operations find it."""
import json
import shlex
import subprocess
from pathlib import Path

import pytest

from milestone_persist import MilestoneWarning, Refused
from milestone_persist.base.errors import Incomplete

SESSION = "planning-ms-123-1640995200"
ARTIFACTS = {"planning-scope": "scope-analyzer", "planning-estimates": "estimation-agent",
             "planning-risks": "risk-assessor", "planning-kiro": "kiro-strategy",
             "milestone-plan": "planning-aggregator"}
EXECUTION = "execution-ms-123-1640995200"


@pytest.fixture
def planning(store):
    """A planning session with a coordinator and an agent for each artifact; none has saved anything."""
    store.register_agent("coord", "milestone-coordinator", "ms-123", SESSION)
    for kind in ARTIFACTS.values():
        store.register_agent(kind, kind, "ms-123", SESSION)
    return store


def statuses(store, session=SESSION):
    return {row["agent_id"]: row["status"] for row in store.list_session_agents(session)}


def test_nothing_interrupted_is_one_line(cli):
    found = cli("detect-interrupted-sessions")
    assert (found.status, found.text) == (0, "no interrupted sessions\n")


def test_the_table_is_the_one_of_the_documents(store, cli, clock):
    for number, status in enumerate(("failed", "failed", "completed", None)):
        store.register_agent(f"a{number}", "scope-analyzer", "ms-123", "planning-1")
        if status:
            store.update_agent_status(f"a{number}", status)
    clock.advance(15 * 60)
    assert cli("detect_interrupted_sessions").text.splitlines()[:3] == [
        "Session ID | Milestone | Operation | Inactive (min) | Agents | Active | Failed",
        "-----------|-----------|-----------|----------------|--------|--------|-------",
        "planning-1 | ms-123    | planning  |             15 |      4 |      1 |      2"]


def test_long_ids_are_whole_and_the_columns_align(store, cli, clock):
    store.register_agent("a", "scope-analyzer", "m" * 30, "planning-" + "x" * 60)
    clock.advance(300)
    lines = cli("detect_interrupted_sessions").text.splitlines()
    assert "planning-" + "x" * 60 + " | " + "m" * 30 in lines[2]
    assert [line.replace("-|-", " | ").count(" | ") for line in lines[:3]] == [6, 6, 6]
    assert {tuple(i for i, c in enumerate(line) if c == "|") for line in lines[:3]} == {
        tuple(i for i, c in enumerate(lines[0]) if c == "|")}


def test_a_session_is_interrupted_by_silence_a_failed_or_a_stale_agent(store, clock):
    store.register_agent("busy", "validation", "ms", "validation-1")
    store.register_agent("gone", "validation", "ms", "validation-1")
    store.register_agent("only", "validation", "ms", "validation-2")
    clock.advance(299)
    assert store.detect_interrupted_sessions() == []
    clock.advance(1)
    assert len(store.detect_interrupted_sessions()) == 2
    store.agent_heartbeat("busy")
    assert [row["session_id"] for row in store.detect_interrupted_sessions()] == ["validation-2"]
    clock.advance(1500)
    store.agent_heartbeat("busy")
    [first, _] = store.detect_interrupted_sessions()
    assert (first["session_id"], first["stale"], first["active"]) == ("validation-1", 1, 1)


def test_all_artifacts_present_shows_the_line_and_the_options_of_the_documents(planning, cli, clock):
    for key, agent in ARTIFACTS.items():
        planning.save_agent_state(agent, key, "x")
    clock.advance(3600)
    assert cli("recover_milestone_session", SESSION).text.endswith(f"""\
✅ All planning artifacts present - session can be completed
Options:
  1. Complete planning session
     complete_planning_session {SESSION}
  2. Create milestone from plan
     create_milestone_from_recovered_planning {SESSION}
  3. Resume planning agents
     resume_planning_agents {SESSION}
""")


def test_looking_changes_nothing(planning, dump, clock, cli):
    clock.advance(3600)
    before = dump()
    for words in (["detect_interrupted_sessions"], ["recover_milestone_session", SESSION], ["recover_planning_session"],
                  ["get_session_recovery_status"], ["show_recovery_help"], ["validate_planning_artifacts", SESSION]):
        cli(*words)
    assert dump() == before


def test_an_unknown_session_is_refused_with_the_nearest(planning):
    with pytest.raises(Refused, match=f"did you mean {SESSION}"):
        planning.recover_milestone_session(SESSION[1:])
    with pytest.raises(Refused, match=f"there is {SESSION}"):  # another, by its number
        planning.recover_milestone_session(SESSION + "9")


def test_recover_planning_session_takes_the_one_that_was_active_last(store, clock):
    with pytest.raises(Refused, match="no planning session is interrupted"):
        store.recover_planning_session()
    for name in ("planning-1", "planning-2", "execution-1"):
        clock.advance(1)
        store.register_agent(f"in-{name}", "validation", "ms", name)
    clock.advance(3600)
    found = store.recover_planning_session()
    assert (found["session_id"], found["other_interrupted"]) == ("planning-2", ["planning-1"])
    assert store.recover_execution_session()["session_id"] == "execution-1"
    with pytest.raises(Refused, match="of type execution"):
        store.recover_planning_session("execution-1")


def test_resuming_puts_messages_back_and_orders_only_what_is_missing(planning, clock):
    planning.save_agent_state("scope-analyzer", "planning-scope", "12 files")
    planning.save_agent_state("risk-assessor", "notes", "half-way")
    point = planning.create_agent_checkpoint("risk-assessor")["checkpoint_id"]
    planning.send_agent_message("coord", "risk-assessor", "task_assignment", {"n": 1})
    planning.get_agent_messages("risk-assessor", True)
    clock.advance(42 * 60)
    told = planning.resume_planning_agents(SESSION)
    orders = {order["agent_id"]: order for order in told["orders"]}
    assert set(orders) == {"coord", "estimation-agent", "risk-assessor", "kiro-strategy"}
    order = orders["risk-assessor"]
    assert (order["why"], order["makes"], order["state_keys"], order["checkpoint"], order["unread_messages"]) == (
        "no heartbeat for 42 min", "planning-risks", ["notes"], point, 1)
    assert (told["returned"], told["dead_lettered"]) == (1, 0)
    assert statuses(planning)["scope-analyzer"] == "terminated", "its work is there: it needs no order"
    assert planning.get_agent_messages("risk-assessor")[0]["retry_count"] == 1


def test_resuming_again_gives_the_same_orders_and_the_same_rows(planning, clock, dump):
    clock.advance(3600)
    first, rows = planning.resume_planning_agents(SESSION), dump()
    assert planning.resume_planning_agents(SESSION)["orders"] == first["orders"]
    assert dump() == rows


def test_an_agent_that_was_only_asleep_is_not_started_twice(planning, clock):
    clock.advance(1800)
    planning.resume_planning_agents(SESSION)
    clock.advance(1)
    planning.agent_heartbeat("risk-assessor")
    assert statuses(planning)["risk-assessor"] == "active"
    told = planning.resume_planning_agents(SESSION)
    assert "risk-assessor" not in [order["agent_id"] for order in told["orders"]]


def test_living_agents_are_left_alone_when_another_is_stale(planning, clock):
    clock.advance(1700)
    planning.agent_heartbeat("kiro-strategy")
    clock.advance(100)
    planning.resume_planning_agents(SESSION)
    assert statuses(planning)["kiro-strategy"] == "active"


def test_an_agent_that_comes_back_is_active_at_once_for_everybody(store, clock):
    for agent in ("a", "b"):
        store.register_agent(agent, "validation", "ms", "validation-1")
    clock.advance(3600)
    store.cleanup_stale_coordination(30)
    clock.advance(1)
    store.agent_heartbeat("a")
    store.update_agent_status("b", "failed", error="told so")
    store.agent_heartbeat("b")
    assert statuses(store, "validation-1") == {"a": "active", "b": "failed"}
    assert [(row["active"], row["failed"]) for row in store.detect_interrupted_sessions()] == [(1, 1)]
    assert store.recover_milestone_session("validation-1")["counts"]["alive"] == 1
    rows = store.storage().execute("SELECT agent_id FROM events WHERE detail = 'heard from again'")
    assert [row["agent_id"] for row in rows] == ["a"]


def test_an_agent_heard_of_after_its_session_was_abandoned_stays_ended(store, clock):
    store.register_agent("a", "validation", "ms", "validation-1")
    clock.advance(3600)
    store.cleanup_stale_coordination(30)
    store.abandon_session("validation-1")
    store.agent_heartbeat("a")
    assert statuses(store, "validation-1") == {"a": "terminated"}


def test_artifacts_of_ones_own_each_get_an_agent(store, clock):
    store.set_storage_config("planning_artifacts", "planning-research planning-dependencies milestone-plan")
    store.register_agent("coord", "milestone-coordinator", "ms", "planning-1")
    clock.advance(3600)
    orders = store.resume_planning_agents("planning-1")["orders"]
    assert [(order["agent_type"], order["save_as"]) for order in orders[1:]] == [
        ("milestone-planner", "planning-research"), ("milestone-planner", "planning-dependencies")]
    assert len({order["agent_id"] for order in orders}) == 3


def test_completing_assembles_a_plan_and_says_so(planning, clock):
    planning.save_agent_state("scope-analyzer", "planning-scope", '{"files": 12}')
    planning.save_agent_state("risk-assessor", "planning-risks", "none\nat all")
    clock.advance(3600)
    done = planning.complete_planning_session(SESSION)
    assert (done["status"], done["changed"], done["progress"]) == ("completed", True, 100)
    plan = json.loads(planning.load_agent_state("coord", "milestone-plan"))
    assert plan["assembled"] is True and [item["state_key"] for item in plan["from"]] == [
        "planning-risks", "planning-scope"]
    assert (plan["planning-scope"], plan["planning-risks"]) == ({"files": 12}, "none\nat all")
    assert planning.complete_planning_session(SESSION)["changed"] is False
    assert planning.load_agent_state("coord", "milestone-plan", full=True)["version"] == 1


def test_completing_without_any_artifact_is_refused(planning):
    with pytest.raises(Refused, match="no planning artifact"):
        planning.complete_planning_session(SESSION)


@pytest.mark.filterwarnings("ignore:.* unread message")
def test_what_a_dead_agent_had_taken_does_not_count_as_done_when_its_session_completes(planning, clock):
    planning.save_agent_state("scope-analyzer", "planning-scope", "x")
    planning.send_agent_message("coord", "risk-assessor", "task_assignment", {})
    planning.get_agent_messages("risk-assessor", True)
    clock.advance(3600)
    planning.complete_planning_session(SESSION)
    counts = planning.get_session_status(SESSION)["messages"]
    assert (counts["pending"], counts["acknowledged"]) == (1, 0)


def test_a_milestone_is_made_once_and_not_over_a_record_of_other_origin(planning, clock):
    planning.save_agent_state("scope-analyzer", "planning-scope", "x")
    planning.create_milestone_record("ms-123", "title: mine")
    clock.advance(3600)
    planning.create_milestone_record("ms-123-2", "title: mine too")
    commands = [option["command"] for option in planning.recover_milestone_session(SESSION)["options"]]
    assert ["create_milestone_from_recovered_planning", SESSION, "ms-123-3"] in commands
    with pytest.raises(Refused, match=f"create_milestone_from_planning {SESSION} ms-123-3"):
        planning.create_milestone_from_recovered_planning(SESSION)
    assert planning.get_session_status(SESSION)["status"] == "active", "what is refused changes nothing"
    assert planning.create_milestone_from_recovered_planning(SESSION, "ms-124")["created"] is True
    planning.update_milestone_record("ms-124", "edited")
    assert planning.create_milestone_from_recovered_planning(SESSION, "ms-125")["created"] is True
    for again in ("ms-124", "ms-125"):
        with pytest.warns(MilestoneWarning, match="active again"):
            planning.register_agent("coord", "milestone-coordinator", "ms-123", SESSION)
        assert planning.create_milestone_from_recovered_planning(SESSION, again)["created"] is False
        assert planning.get_session_status(SESSION)["status"] == "completed"
    assert planning.read_milestone_record("ms-124") == "edited"


def test_a_run_that_was_killed_after_writing_the_record_can_be_run_again(planning):
    planning.save_agent_state("scope-analyzer", "planning-scope", "x")
    storage = planning.storage()
    with pytest.raises(KeyboardInterrupt), storage.transaction():
        planning.create_milestone_from_recovered_planning(SESSION)
        raise KeyboardInterrupt
    assert planning.create_milestone_from_recovered_planning(SESSION)["created"] is True


def test_validating_says_what_is_missing_and_what_is_empty(planning, cli):
    planning.save_agent_state("scope-analyzer", "planning-scope", " \n")
    with pytest.raises(Incomplete) as raised:
        planning.validate_planning_artifacts(SESSION)
    assert (raised.value.data["empty"], raised.value.data["missing"][0]) == (["planning-scope"], "planning-estimates")
    done = cli("validate_planning_artifacts", SESSION)
    assert done.status == 1 and "missing: planning-estimates" in done.text and len(done.err.splitlines()) == 1


def test_execution_killed_after_spec_is_at_forty_percent_and_resumes_at_task(store, clock):
    for phase in ("design", "spec", "task"):
        store.register_agent(phase, f"{phase}-phase", "ms-123", EXECUTION)
    store.save_agent_state("design", "design-phase-results", "d")
    store.save_agent_state("spec", "spec-api", "s")
    clock.advance(3600)
    found = store.recover_execution_session()
    assert (found["estimated_progress"], found["next"]) == (40, ["task"])
    told = store.resume_execution_from_phase(EXECUTION)
    assert [(order["agent_id"], order["makes"]) for order in told["orders"]] == [("task", "task")]
    status = store.get_session_status(EXECUTION)
    assert (status["progress"], status["phase"]) == (40, "task")


def test_restarting_incomplete_phases_leaves_the_others_at_work(store):
    for phase in ("design", "spec"):
        store.register_agent(phase, f"{phase}-phase", "ms-123", EXECUTION)
    store.register_agent("coord", "milestone-coordinator", "ms-123", EXECUTION)
    store.save_agent_state("design", "design-phase-results", "d")
    told = store.restart_incomplete_phases(EXECUTION)
    assert (told["ended"], [order["why"] for order in told["orders"]]) == (["spec"], ["restarted"])
    assert statuses(store, EXECUTION) == {"design": "active", "spec": "terminated", "coord": "active"}
    told = store.restart_milestone_execution(EXECUTION)
    assert [order["agent_id"] for order in told["orders"]] == ["coord", "spec"]
    assert store.load_agent_state("design", "design-phase-results") == "d"


def test_finalizing_refuses_while_a_phase_is_missing_and_says_which(store):
    store.register_agent("all", "milestone-executor", "ms-123", EXECUTION)
    store.create_milestone_record("ms-123", "title: it")
    for key in ("design-phase-results", "spec-a", "execute-phase-results"):
        store.save_agent_state("all", key, "x")
    with pytest.raises(Refused, match="no results of: task"):
        store.finalize_milestone_execution(EXECUTION)
    store.save_agent_state("all", "task-1", "x")
    assert store.finalize_milestone_execution(EXECUTION)["changed"] is True
    assert store.finalize_milestone_execution(EXECUTION)["changed"] is False
    assert [row["status"] for row in store.list_milestones()] == ["completed"]
    assert store.read_milestone_record("ms-123") == "title: it"


def test_abandoning_keeps_what_was_saved_and_never_touches_a_completed_session(planning):
    planning.save_agent_state("scope-analyzer", "planning-scope", "x")
    assert planning.abandon_session(SESSION)["changed"] is True
    assert planning.abandon_session(SESSION)["changed"] is False
    assert planning.load_agent_state("scope-analyzer", "planning-scope") == "x"
    orders = planning.resume_planning_agents(SESSION)["orders"]
    assert orders[0]["agent_id"] == "coord" and orders[0]["why"] == "abandoned"
    planning.complete_planning_session(SESSION)
    with pytest.raises(Refused, match="completed"):
        planning.abandon_session(SESSION)


def test_the_spawn_command_gets_each_order_and_its_failures_are_told(planning, clock, cli, tmp_path):
    planning.set_storage_config("agent_spawn_command", f"""
        cat > "{tmp_path}/$AGENT_TYPE.json"; echo "$AGENT_ID $SESSION_ID" >> "{tmp_path}/ran"
        case $AGENT_TYPE in risk-*) echo no model >&2; exit 7;; esac""")
    clock.advance(3600)
    allowed = {"MILESTONE_SPAWN_DIRS": f"/elsewhere:{planning.directory}"}
    done = cli("resume_planning_agents", SESSION, **allowed)
    assert done.status == 1 and "agent_spawn_command failed for risk-assessor" in done.err
    assert "agent_spawn_command: exit status 7: no model" in done.text
    order = json.loads((tmp_path / "kiro-strategy.json").read_text())
    assert (order["agent_id"], order["makes"]) == ("kiro-strategy", "planning-kiro")
    assert statuses(planning)["risk-assessor"] == "failed" and statuses(planning)["kiro-strategy"] == "spawning"
    cli("resume_planning_agents", SESSION, **allowed)
    ran = (tmp_path / "ran").read_text().splitlines()
    assert ran.count(f"risk-assessor {SESSION}") == 2, "what failed is tried again"
    assert ran.count(f"kiro-strategy {SESSION}") == 1, "what runs is not started twice"


@pytest.mark.parametrize("allowed", ["", "/elsewhere", "/"])
def test_a_spawn_command_is_run_only_where_the_environment_names_the_directory(planning, clock, cli, tmp_path, allowed):
    """It may have come with a cloned repository."""
    planning.set_storage_config("agent_spawn_command", f"touch '{tmp_path}/ran'")
    clock.advance(3600)
    done = cli("resume_planning_agents", SESSION, MILESTONE_SPAWN_DIRS=allowed)
    assert done.status == 0 and "Nothing was started: start these agents yourself." in done.text
    assert f"export MILESTONE_SPAWN_DIRS={shlex.quote(planning.directory)}" in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "ran").exists() and "spawning" not in statuses(planning).values()


def test_cleaning_up_counts_what_it_did_and_spares_the_living(planning, clock):
    clock.advance(1800)
    planning.agent_heartbeat("coord")
    told = planning.cleanup_stale_coordination(30)
    assert sorted(told["marked_failed"]) == sorted(ARTIFACTS.values())
    assert planning.cleanup_stale_coordination(30)["marked_failed"] == []
    assert planning.get_session_recovery_status()["agents"] == {"total": 6, "active": 1, "failed": 5, "stale": 0}


@pytest.mark.filterwarnings("ignore:.* unread message")
def test_failed_sessions_go_but_not_finished_work_and_not_messages_for_the_living(store, clock):
    store.register_agent("living", "validation", "ms", "validation-2")
    for name in ("validation-1", "planning-1"):
        store.register_agent(f"in-{name}", "validation", "ms", name)
    store.save_agent_state("in-planning-1", "planning-scope", "x")
    store.send_agent_message("in-validation-1", "living", "task_assignment", {"keep": 1})
    store.send_agent_message("living", "in-validation-1", "task_assignment", {})
    for name in ("validation-1", "planning-1"):
        store.abandon_session(name)
    clock.advance(23 * 3600)
    assert store.cleanup_failed_sessions(24)["removed"] == []
    clock.advance(3600)
    store.agent_heartbeat("living")
    assert store.cleanup_failed_sessions(24) == {"failed": [], "removed": ["validation-1"], "kept": ["planning-1"],
                                                 "messages_lost": 1}, "nobody could read it any more"
    assert store.get_agent_messages("living")[0]["payload"] == {"keep": 1}


@pytest.mark.filterwarnings("ignore:.* unread message")
def test_sessions_whose_agents_are_all_dead_are_failed_and_cleared(store, clock):
    for name, agents in (("validation-dead", "ab"), ("execution-ended", "c"), ("planning-work", "d"),
                         ("validation-mixed", "ef"), ("cleanup-paused", "g")):
        for agent in agents:
            store.register_agent(agent, "validation", "ms", name)
    store.save_agent_state("d", "planning-scope", "12 files")
    store.send_agent_message("e", "a", "task_assignment", {})
    store.get_agent_messages("a", True)
    store.update_agent_status("c", "completed"), store.update_agent_status("g", "paused")
    clock.advance(23 * 3600)
    store.register_agent("young", "validation", "ms", "validation-young")
    store.agent_heartbeat("f")
    assert store.cleanup_failed_sessions(24)["failed"] == []
    clock.advance(3600)
    assert store.cleanup_failed_sessions(24) == {
        "failed": ["cleanup-paused", "execution-ended", "planning-work", "validation-dead"], "kept": ["planning-work"],
        "removed": ["cleanup-paused", "execution-ended", "validation-dead"], "messages_lost": 1}
    left = {row["session_id"]: row["status"] for row in store.list_coordination_sessions()}
    assert left == {"planning-work": "failed", "validation-mixed": "active", "validation-young": "active"}
    assert store.cleanup_failed_sessions(24)["removed"] == []
    assert store.load_agent_state("d", "planning-scope") == "12 files"
    clock.advance(6 * 86400)
    assert store.cleanup_stale_coordination()["removed"]["sessions"] == 0, "its time begins when it was failed"
    assert store.resume_planning_agents("planning-work")["status"] == "active"


def test_agents_at_work_are_no_failed_session_whatever_is_asked(store, clock, cli):
    store.register_agent("a", "validation", "ms", "validation-1")
    clock.advance(1799)
    assert cli("cleanup_failed_sessions", "0").text == "removed 0 sessions: none\n"
    clock.advance(1)
    assert cli("cleanup_failed_sessions", "0").text == (
        "failed, for all their agents are dead: validation-1\nremoved 1 sessions: validation-1\n")


def test_retention_removes_what_ended_long_ago_but_no_plan_without_milestone(store, clock):
    for name in ("planning-made", "planning-unmade", "validation-1"):
        store.register_agent(f"in-{name}", "validation", name, name)
        store.save_agent_state(f"in-{name}", "milestone-plan", "x")
    store.create_milestone_from_recovered_planning("planning-made")
    store.complete_planning_session("planning-unmade")
    store.complete_coordination_session("validation-1")
    store.register_agent("alive", "validation", "ms", "validation-2")
    clock.advance(8 * 86400)
    assert store.cleanup_stale_coordination()["removed"]["sessions"] == 2
    assert {row["session_id"] for row in store.list_coordination_sessions()} == {"validation-2", "planning-unmade"}


def test_a_report_is_written_and_tells_what_was_recovered(planning, clock):
    clock.advance(3600)
    planning.resume_planning_agents(SESSION)
    path = planning.generate_milestone_report(SESSION)
    text = Path(path).read_text(encoding="utf-8")
    assert path.endswith(".md") and "## Timeline" in text and "no heartbeat for 60 min" in text
    assert planning.generate_milestone_report(SESSION) == path and Path(path).read_text(encoding="utf-8") == text


AGENT = """
. "$ADAPTER"
register_agent "$1" "$2" ms-123 "$SESSION" >/dev/null
[ -z "$3" ] || save_agent_state "$1" "$3" "$4"
echo ready
exec sleep 1000
"""


def start_agent(environ, directory, session, *words):
    """An agent in a shell of its own, which has saved what it has to save when this returns."""
    from conftest import ADAPTER

    agent = subprocess.Popen(["bash", "-c", AGENT, "agent", *words], stdout=subprocess.PIPE, env={
        **environ, "ADAPTER": str(ADAPTER), "MILESTONE_DIR": str(directory), "SESSION": session,
        "MILESTONE_NOW": "2026-01-01 00:00:00"})
    assert agent.stdout.readline() == b"ready\n"
    return agent


def kill_agents(agents):
    for agent in agents:
        agent.kill()
        agent.wait()
        agent.stdout.close()


@pytest.fixture
def later(run_shell, directory, environ):
    """Runs a text in a shell, with the functions sourced, 42 minutes later."""
    return lambda text: run_shell("bash", text, **{"MILESTONE_BACKEND": None, **environ, "MILESTONE_DIR":
                                                   str(directory), "MILESTONE_NOW": "2026-01-01 00:42:00"})


def test_planning_with_recovery_as_the_documents_tell_it(environ, directory, later):
    kill_agents([start_agent(environ, directory, SESSION, *words) for words in (
        ("coord-001", "milestone-coordinator", "", ""),
        ("scope-agent-001", "scope-analyzer", "planning-scope", '{"files": 12}'),
        ("est-agent-001", "estimation-agent", "planning-estimates", "3 days: 'maybe'"))])
    assert SESSION in later("detect_interrupted_sessions").text
    assert "3 stale" in later(f"recover_milestone_session {SESSION}").text
    assert later(f"create_milestone_from_recovered_planning {SESSION}").status == 0
    record = later("read_milestone_record ms-123").text
    for part in ("planning-scope", "planning-estimates", "3 days: 'maybe'", "assembled: true"):
        assert part in record
    assert later("detect_interrupted_sessions").text == "no interrupted sessions\n"


def test_an_execution_killed_after_spec_is_carried_on(environ, directory, later):
    kill_agents([start_agent(environ, directory, EXECUTION, *words) for words in (
        ("d", "design-phase", "design-phase-results", "d"), ("s", "spec-phase", "spec-api", "s"),
        ("t", "task-phase", "", ""))])
    found = later(f"recover_milestone_session {EXECUTION}").text
    assert "40 % estimated" in found and "resumes at phase task" in found
    assert "start task-phase as t" in later(f"resume_execution_from_phase {EXECUTION} task").text
    assert later(f"finalize_milestone_execution {EXECUTION}").status == 1
    assert later(f"save_agent_state t task-1 x; save_agent_state t execute-phase-results y; "
                 f"finalize_milestone_execution {EXECUTION}").status == 0


def test_a_finalizing_that_was_killed_after_moving_the_record_can_be_run_again(store):
    store.register_agent("all", "milestone-executor", "ms-123", EXECUTION)
    store.create_milestone_record("ms-123", "title: it")
    for key in ("design-phase-results", "spec-a", "task-a", "execute-phase-results"):
        store.save_agent_state("all", key, "x")
    storage = store.storage()
    with pytest.raises(KeyboardInterrupt), storage.transaction():
        store.finalize_milestone_execution(EXECUTION)
        raise KeyboardInterrupt
    assert store.finalize_milestone_execution(EXECUTION)["changed"] is True
    assert store.read_milestone_record("ms-123") == "title: it"
    assert [row["status"] for row in store.list_milestones()] == ["completed"]


def test_after_resuming_only_what_is_to_be_started_now_counts_as_failed(store, clock):
    agents = {"coord": "milestone-coordinator", **{name: f"{name}-phase" for name in ("design", "spec", "task")}}
    for agent, kind in agents.items():
        store.register_agent(agent, kind, "ms-1", EXECUTION)
    store.save_agent_state("user", "notes", "of an agent nobody registered")
    clock.advance(40 * 60)
    orders = store.resume_execution_from_phase(EXECUTION)["orders"]
    assert [order["agent_id"] for order in orders] == ["coord", "design"]
    for order in orders:
        store.register_agent(order["agent_id"], order["agent_type"], "ms-1", EXECUTION)
    assert store.detect_interrupted_sessions() == []
    view = store.recover_milestone_session(EXECUTION)
    assert [option["command"][0] for option in view["options"]] == ["get_session_status", "abandon_session"]
    store.save_agent_state("design", "design-phase-results", "done")
    store.update_agent_status("design", "completed")
    clock.advance(40 * 60)
    orders = store.resume_execution_from_phase(EXECUTION)["orders"]
    assert [(order["agent_id"], order["why"]) for order in orders] == [
        ("coord", "no heartbeat for 40 min"), ("spec", "no heartbeat for 40 min; waits for its turn")]


def test_an_agent_that_was_put_off_and_lives_is_active_again_unless_it_was_ended_since(store, clock):
    for agent in ("design", "spec"):
        store.register_agent(agent, f"{agent}-phase", "ms-1", EXECUTION)
    clock.advance(360)
    store.resume_execution_from_phase(EXECUTION)
    assert statuses(store, EXECUTION) == {"design": "failed", "spec": "terminated"}
    clock.advance(60)
    for agent in ("design", "spec"):
        store.agent_heartbeat(agent)
    assert statuses(store, EXECUTION) == {"design": "active", "spec": "active"}
    clock.advance(360)
    store.resume_execution_from_phase(EXECUTION)
    store.restart_milestone_execution(EXECUTION)
    store.agent_heartbeat("spec")
    assert statuses(store, EXECUTION)["spec"] == "terminated"


def test_nobody_is_started_in_a_session_that_has_ended_meanwhile(planning, clock, environ, connect, monkeypatch):
    planning.set_storage_config("agent_spawn_command", "true")
    environ["MILESTONE_SPAWN_DIRS"] = planning.directory
    started, other = [], connect()

    def abandon(store, command, order):
        started.append(order["agent_id"])
        other.abandon_session(SESSION)
        return "exit status 0", False

    clock.advance(3600)
    monkeypatch.setattr("milestone_persist.coordination.work_orders.run_command", abandon)
    orders = planning.resume_planning_agents(SESSION)["orders"]
    assert len(started) == 1 and set(statuses(planning).values()) == {"terminated"}
    assert {order["result"] for order in orders[1:]} == {"not run: the session is abandoned by now"}


def test_two_dead_agents_of_a_type_are_not_both_told_to_make_the_same(store, clock):
    for agent in ("one", "two", "coord"):
        store.register_agent(agent, "milestone-coordinator" if agent == "coord" else "scope-analyzer", "ms", SESSION)
    for agent in ("one", "two"):
        store.send_agent_message("coord", agent, "task_assignment", {})
    clock.advance(3600)
    orders = {order["agent_id"]: order["makes"] for order in store.resume_planning_agents(SESSION)["orders"]}
    assert sorted([orders["one"] or "", orders["two"] or ""]) == ["", "planning-scope"]


def test_an_agent_of_ones_own_type_whose_artifact_is_there_gets_no_order(store, clock):
    store.set_storage_config("planning_artifacts", "planning-research milestone-plan")
    store.register_agent("researcher", "x-research", "ms", SESSION)
    store.save_agent_state("researcher", "planning-research", "found")
    clock.advance(3600)
    assert [order["makes"] for order in store.resume_planning_agents(SESSION)["orders"]] == ["milestone-plan"]


def test_empty_artifacts_are_no_artifacts(planning, cli, clock):
    for key, agent in ARTIFACTS.items():
        planning.save_agent_state(agent, key, "" if key == "planning-scope" else " null\n")
    clock.advance(3600)
    shown = cli("recover-milestone-session", SESSION).text
    assert "  empty: planning-scope\n" in shown and "✅" not in shown
    with pytest.raises(Incomplete) as caught:
        planning.validate_planning_artifacts(SESSION)
    assert sorted(caught.value.data["empty"]) == sorted(ARTIFACTS) and not caught.value.data["can_be_completed"]
    with pytest.raises(Refused, match=f"no planning artifact.*resume_planning_agents {SESSION} goes on"):
        planning.complete_planning_session(SESSION)


def test_validating_is_for_planning_sessions_and_its_hint_works(store):
    store.register_agent("a", "execute-phase", "ms", EXECUTION)
    with pytest.raises(Refused, match=f"type execution, not planning: recover_milestone_session {EXECUTION} shows"):
        store.validate_planning_artifacts(EXECUTION)
    store.register_agent("b", "scope-analyzer", "ms", SESSION)
    store.save_agent_state("b", "planning-scope", "x")
    with pytest.raises(Incomplete, match=f"get_session_status {SESSION} shows"):
        store.validate_planning_artifacts(SESSION)
    store.complete_planning_session(SESSION)
    with pytest.raises(Incomplete, match=f"recover_milestone_session {SESSION} goes on"):
        store.validate_planning_artifacts(SESSION)


def test_an_assembled_plan_holds_every_artifact_it_names(store, clock):
    for agent, value in (("first", "old"), ("second", "new")):
        store.register_agent(agent, "scope-analyzer", "ms", SESSION)
        store.save_agent_state(agent, "planning-scope", value)
        clock.advance(1)
    assert store.complete_planning_session(SESSION)["assembled_from"] == ["planning-scope"]
    plan = json.loads(store.load_agent_state("second", "milestone-plan"))
    assert plan["planning-scope"] == "new" and plan["planning-scope of first"] == "old"


def test_the_report_tells_what_was_put_back(planning, clock):
    planning.send_agent_message("coord", "risk-assessor", "task_assignment", {})
    planning.get_agent_messages("risk-assessor", True)
    planning.register_agent("coord", "milestone-coordinator", "ms-123", SESSION)
    clock.advance(3600)
    planning.resume_planning_agents(SESSION)
    text = Path(planning.generate_milestone_report(SESSION)).read_text()
    recovered = text.partition("## What was recovered")[2].partition("## ")[0]
    assert "messages\\_returned | risk-assessor | 1 |" in recovered
    assert "agent\\_revived" not in recovered, "the coordinator had not ended when it registered again"


def test_a_resume_that_was_killed_half_way_pretends_nothing_of_the_others(planning, clock, environ, monkeypatch):
    planning.set_storage_config("agent_spawn_command", "true")
    environ["MILESTONE_SPAWN_DIRS"] = planning.directory
    started = []

    def die_at_the_second(store, command, order):
        if started:
            raise KeyboardInterrupt
        started.append(order["agent_id"])
        return "exit status 0", False

    clock.advance(3600)
    with monkeypatch.context() as patch:
        patch.setattr("milestone_persist.coordination.work_orders.run_command", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            planning.resume_planning_agents(SESSION)
    assert list(statuses(planning).values()).count("spawning") == 2
    ordered = [order["agent_id"] for order in planning.resume_planning_agents(SESSION)["orders"]]
    assert len(ordered) == 3 and started[0] not in ordered


def test_recovery_tells_how_to_take_the_silent_among_the_living_for_dead(planning, clock):
    clock.advance(1200)
    planning.register_agent("coord", "milestone-coordinator", "ms-123", SESSION)
    verdict = planning.recover_milestone_session(SESSION)["verdict"]
    assert verdict.startswith("agents are alive: nothing to recover, unless those silent")
    assert "risk-assessor" in verdict and "coord" not in verdict.partition("(")[2].partition(")")[0]
    planning.cleanup_stale_coordination(int(verdict.split("cleanup_stale_coordination ")[1].split()[0]))
    assert planning.recover_milestone_session(SESSION)["counts"]["failed"] == 5


def test_the_status_ends_with_the_next_command_and_the_help_names_all_that_is_needed(store, cli, clock):
    assert cli("get_session_recovery_status").text.endswith("interrupted sessions: 0\n")
    store.register_agent("a", "validation", "ms", "validation-1")
    clock.advance(600)
    assert cli("get_session_recovery_status").text.endswith(
        "interrupted sessions: 1\nRun next, to see what can be done:\n  recover_milestone_session validation-1\n")
    shown = cli("show_recovery_help").text
    for name in ("get_session_status SESSION_ID", "update_agent_status AGENT_ID", "requeue_agent_message",
                 "load_agent_state", "restore_agent_checkpoint", "list_planning_sessions", "resume_session_agents",
                 "abandon_session", "cleanup_failed_sessions", "start_session_monitor"):
        assert f"\n  {name}" in shown, name


def test_acknowledged_messages_of_a_session_that_stays_open_go_in_time(connect, clock):
    store = connect()
    store.register_agent("a", "validation", "m", "validation-1")
    for number in range(4):
        store.send_agent_message("a", "a", "x-n", {"n": number})
    store.get_agent_messages("a", True, 2)
    for message_id in 1, 2:
        store.acknowledge_agent_message("a", message_id)
    store.get_agent_messages("a", True, 1)  # taken, and never acknowledged
    clock.advance(86400 * 7 - 1)
    store.agent_heartbeat("a")
    assert store.cleanup_stale_coordination(30)["removed"]["acknowledged_messages"] == 0
    clock.advance(1)
    store.agent_heartbeat("a")
    assert store.cleanup_stale_coordination(30)["removed"]["acknowledged_messages"] == 2
    assert store.get_session_status("validation-1")["messages"] == {
        "pending": 1, "taken": 1, "acknowledged": 0, "dead": 0}
    assert store.send_agent_message("a", "a", "x-n", {})["id"] == 5


def test_a_message_of_a_clock_that_was_ahead_keeps_no_old_one_behind_it(connect, clock):
    store = connect()
    store.register_agent("a", "validation", "m", "validation-1")
    clock.advance(86400 * 365)
    store.send_agent_message("a", "a", "x-n", {})
    clock.advance(-86400 * 365)
    for _ in range(3):
        store.send_agent_message("a", "a", "x-n", {})
    for _ in range(2):  # the second acknowledges what the first has taken
        assert len(store.get_agent_messages("a", True)) in (4, 0)
    clock.advance(86400 * 7 + 1)
    store.send_agent_message("a", "a", "x-n", {})
    store.acknowledge_agent_message("a", 5)
    assert store.cleanup_stale_coordination(30)["removed"]["acknowledged_messages"] == 4
