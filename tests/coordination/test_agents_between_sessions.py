"""Agents whose ids are used again in another session: each session keeps its own results, messages and agents."""
from __future__ import annotations

import pytest

from milestone_persist import MilestoneWarning, Refused

KEYS = ("planning-scope", "planning-estimates", "planning-risks", "planning-kiro", "milestone-plan")


def plan(store, session, milestone, agent="coord-001", title="the plan"):
    store.register_agent(agent, "milestone-coordinator", milestone, session)
    store.save_agent_state(agent, "milestone-plan", f'{{"title": "{title}"}}')


def options(store, session):
    return [option["command"][0] for option in store.recover_milestone_session(session)["options"]]


def test_a_new_session_does_not_have_what_its_agents_saved_in_another(store):
    store.register_agent("coord-001", "milestone-coordinator", "ms-123", "planning-ms-123-1")
    for key in KEYS:
        store.save_agent_state("coord-001", key, '"old"')
    store.create_milestone_from_recovered_planning("planning-ms-123-1")
    store.register_agent("coord-001", "milestone-coordinator", "ms-124", "planning-ms-124-2")
    assert store.recover_milestone_session("planning-ms-124-2")["missing"] == list(KEYS)
    assert store.recover_milestone_session("planning-ms-123-1")["artifacts"] == sorted(KEYS)
    with pytest.raises(Refused, match="has no planning artifact"):
        store.create_milestone_from_recovered_planning("planning-ms-124-2")
    store.register_agent("exec-1", "execute-phase", "ms-1", "execution-1")
    for key in ("design-phase-results", "spec-a", "task-a", "execute-phase-results"):
        store.save_agent_state("exec-1", key, "done")
    store.finalize_milestone_execution("execution-1")
    store.register_agent("exec-1", "execute-phase", "ms-2", "execution-2")
    with pytest.raises(Refused, match="no results of: design, spec, task, execute"):
        store.finalize_milestone_execution("execution-2")


def test_what_is_saved_under_a_key_again_belongs_to_the_present_session_and_a_checkpoint_keeps_the_old(store, clock):
    plan(store, "planning-1", "ms-1", title="first")
    clock.advance(60)
    with pytest.warns(MilestoneWarning, match="was milestone ms-1's: that is kept in checkpoint cp-"):
        plan(store, "planning-2", "ms-2", title="second")
    assert store.recover_milestone_session("planning-2")["artifacts"] == ["milestone-plan"]
    assert store.recover_milestone_session("planning-1")["artifacts"] == ["milestone-plan"]
    kept = store.list_agent_checkpoints("coord-001")[0]
    assert kept["session_id"] == "planning-1"
    with pytest.warns(MilestoneWarning, match="was milestone ms-2's: that is kept in checkpoint cp-"):
        store.restore_agent_checkpoint(kept["checkpoint_id"])
    assert store.recover_milestone_session("planning-2")["artifacts"] == ["milestone-plan"]
    assert store.recover_milestone_session("planning-1")["artifacts"] == ["milestone-plan"]
    assert "first" in store.load_agent_state("coord-001", "milestone-plan", session="planning-1")


def test_going_to_and_fro_makes_no_checkpoint_of_what_has_not_changed(store, clock):
    plan(store, "planning-1", "ms-1")
    for number in range(6):
        clock.advance(1)
        store.register_agent("coord-001", "milestone-coordinator", "ms-1", f"planning-{number % 2 + 1}")
    assert len(store.list_agent_checkpoints("coord-001")) == 1


def test_cleaning_a_session_spares_what_its_agents_made_elsewhere(store, clock):
    plan(store, "planning-1", "ms-1", title="the only plan")
    store.complete_planning_session("planning-1")
    store.register_agent("coord-001", "milestone-coordinator", "ms-1", "execution-2")
    store.save_agent_state("coord-001", "notes", "of the execution")
    store.abandon_session("execution-2")
    clock.advance(86400)
    assert store.cleanup_failed_sessions(24)["removed"] == ["execution-2"]
    assert "the only plan" in store.load_agent_state("coord-001", "milestone-plan")
    assert store.list_agent_state("coord-001")[0]["state_key"] == "milestone-plan"
    assert [(row["agent_id"], row["status"]) for row in store.list_session_agents("planning-1")] == [
        ("coord-001", "terminated")]
    assert store.get_session_status("planning-1")["agent_count"] == 1
    assert store.create_milestone_from_recovered_planning("planning-1")["created"] is True


def test_an_agent_that_lives_elsewhere_keeps_what_it_saved_in_a_session_that_goes(store, clock):
    plan(store, "planning-1", "ms-1")
    store.create_milestone_from_recovered_planning("planning-1")
    store.register_agent("coord-001", "milestone-coordinator", "ms-1", "execution-2")
    clock.advance(8 * 86400)
    store.agent_heartbeat("coord-001")
    assert store.cleanup_stale_coordination()["removed"]["sessions"] == 1
    assert "the plan" in store.load_agent_state("coord-001", "milestone-plan")


def test_an_unregistered_agent_acts_where_session_id_says(store, environ):
    environ["SESSION_ID"] = "planning-ms-123-1"
    store.save_agent_state("scope-agent-001", "planning-scope", '"of 123"')
    store.complete_planning_session("planning-ms-123-1")
    environ["SESSION_ID"] = "planning-ms-124-2"
    store.save_agent_state("scope-agent-001", "planning-scope", '"of 124"')
    assert store.recover_milestone_session("planning-ms-124-2")["artifacts"] == ["planning-scope"]
    assert [row["agent_id"] for row in store.list_session_agents("planning-ms-124-2")] == ["scope-agent-001"]


def test_an_unregistered_agent_leaves_a_session_that_has_ended(store):
    store.register_agent("coord", "milestone-coordinator", "ms-1", "planning-1")
    store.save_agent_state("scope-agent-001", "planning-scope", "x")
    store.complete_planning_session("planning-1")
    store.save_agent_state("scope-agent-001", "note", "no other session is active")
    assert [row["session_id"] for row in store.list_coordination_sessions()] == ["planning-1"]
    store.register_agent("coord", "milestone-coordinator", "ms-2", "planning-2")
    with pytest.warns(MilestoneWarning, match="'planning-scope' of 'scope-agent-001' was milestone ms-1's"):
        store.save_agent_state("scope-agent-001", "planning-scope", "y")
    assert "scope-agent-001" in [row["agent_id"] for row in store.list_session_agents("planning-2")]


def test_the_mail_of_an_agent_counts_in_its_session_wherever_it_came_from(store):
    store.register_agent("boss", "milestone-coordinator", "ms-9", "planning-other")
    store.register_agent("ex", "milestone-executor", "ms-1", "execution-1")
    store.send_agent_message("boss", "ex", "task_assignment", {"n": 1})
    store.get_agent_messages("ex", True)
    assert store.get_session_status("execution-1")["messages"]["taken"] == 1
    assert store.get_session_status("planning-other")["messages"]["taken"] == 0
    assert len(store.recover_milestone_session("execution-1")["taken"]) == 1
    store.register_agent("ex", "milestone-executor", "ms-1", "execution-2")
    assert store.get_session_status("execution-1")["messages"]["taken"] == 0
    assert store.get_session_status("execution-2")["messages"]["pending"] == 1
    with pytest.warns(MilestoneWarning, match="no agent 'late' is registered"):
        store.send_agent_message("boss", "late", "task_assignment", {"n": 2})
    assert store.get_session_status("planning-other")["messages"]["pending"] == 1
    store.register_agent("late", "validation", "ms-9", "validation-1")
    assert store.get_session_status("validation-1")["messages"]["pending"] == 1


def test_an_agent_has_the_milestone_it_was_registered_for(store):
    store.register_agent("a", "milestone-coordinator", "ms-1", "execution-1")
    assert store.register_agent("b", "scope-analyzer", "ms-2", "execution-1")["milestone_id"] == "ms-2"
    assert store.get_session_status("execution-1")["milestone_id"] == "ms-1"


@pytest.mark.filterwarnings("ignore:.*this message is not read")
@pytest.mark.parametrize("status", ["failed", "terminated", "completed"])
def test_what_is_taken_in_the_name_of_an_agent_that_had_ended_goes_back(store, clock, status):
    for agent in ("c", "a"):
        store.register_agent(agent, "validation", "ms-1", "execution-1")
    store.update_agent_status("a", status)
    store.send_agent_message("c", "a", "task_assignment", {})
    assert len(store.get_agent_messages("a", True)) == 1
    clock.advance(5 * 3600)
    told = store.cleanup_stale_coordination(30)
    assert (told["returned"], told["marked_failed"]) == (1, ["c"])
    assert [row["retry_count"] for row in store.get_agent_messages("a")] == [1]


def test_who_registers_after_its_death_does_not_acknowledge_what_it_took_before(store, clock):
    for agent in ("c", "e"):
        store.register_agent(agent, "validation", "ms-1", "execution-1")
    store.send_agent_message("c", "e", "task_assignment", {"n": 1})
    assert len(store.get_agent_messages("e", True)) == 1
    clock.advance(1800)
    store.register_agent("e", "validation", "ms-1", "execution-1")
    assert [row["payload"] for row in store.get_agent_messages("e", True)] == [{"n": 1}]


def test_no_agent_is_at_work_in_a_session_that_has_ended(store):
    plan(store, "planning-1", "ms-1")
    store.complete_planning_session("planning-1")
    for status in ("active", "spawning", "paused"):
        with pytest.raises(Refused, match="'planning-1' of agent 'coord-001' is completed: register_agent opens"):
            store.update_agent_status("coord-001", status)
    store.update_agent_status("coord-001", "failed")


def test_looking_and_putting_right_with_the_id_of_another_renews_nothing(store, clock, environ):
    for agent in ("c", "a"):
        store.register_agent(agent, "validation", "ms-1", "execution-1")
    store.send_agent_message("c", "a", "task_assignment", {})
    [message] = store.get_agent_messages("a", True)
    point = store.create_agent_checkpoint("a")["checkpoint_id"]
    store.save_agent_state("a", "k", "v")
    before = store.update_agent_status("a")["last_heartbeat"]
    clock.advance(600)
    environ["AGENT_ID"] = "c"
    store.get_agent_messages("a")
    store.acknowledge_agent_message("a", message["id"])
    store.delete_agent_state("a", "k")
    store.restore_agent_checkpoint(point)
    assert store.update_agent_status("a")["last_heartbeat"] == before
    for own in ("a", ""):  # set to nothing is what some shells make of a variable that is exported and not set
        environ["AGENT_ID"] = own
        clock.advance(60)
        store.get_agent_messages("a")
        assert store.update_agent_status("a")["last_heartbeat"] > before
        before = store.update_agent_status("a")["last_heartbeat"]


def test_who_looks_for_the_dead_does_not_hide_them(store, clock, environ):
    for agent in ("c", "e"):
        store.register_agent(agent, "milestone-coordinator" if agent == "c" else "scope-analyzer", "ms-1", "planning-1")
    store.send_agent_message("c", "e", "task_assignment", {})
    store.get_agent_messages("e", True)
    clock.advance(1200)
    environ["AGENT_ID"] = "c"
    for _ in range(2):
        assert [row["session_id"] for row in store.detect_interrupted_sessions()] == ["planning-1"]
        assert options(store, "planning-1")[0] == "resume_planning_agents"
    told = store.resume_planning_agents("planning-1")
    assert (told["marked_failed"], told["returned"]) == (["e"], 1), "c called: it is alive"
    assert "c" not in [order["agent_id"] for order in told["orders"]]


def test_restoring_a_checkpoint_of_one_session_spares_the_results_of_another(store, clock):
    store.register_agent("a", "scope-analyzer", "ms-1", "planning-1")
    store.save_agent_state("a", "planning-scope", "good")
    point = store.create_agent_checkpoint("a")["checkpoint_id"]
    store.save_agent_state("a", "corrupt", "x")
    clock.advance(60)
    store.register_agent("a", "execute-phase", "ms-1", "execution-1")
    store.save_agent_state("a", "execute-phase-results", "done")
    clock.advance(60)
    store.restore_agent_checkpoint(point)
    assert store.recover_milestone_session("execution-1")["missing"] == ["design", "spec", "task"]
    assert [row["state_key"] for row in store.list_agent_state("a")] == ["execute-phase-results", "planning-scope"]
    elsewhere = store.create_agent_checkpoint("a")["checkpoint_id"]
    store.save_agent_state("a", "execute-phase-results", "newer")
    store.delete_agent_state("a", "planning-scope")
    store.restore_agent_checkpoint(elsewhere)
    assert store.load_agent_state("a", "execute-phase-results") == "done"
    assert store.recover_milestone_session("planning-1")["artifacts"] == ["planning-scope"]


@pytest.mark.filterwarnings("ignore:.* unread message")
def test_making_a_milestone_acknowledges_nothing_for_the_dead(store, clock):
    plan(store, "planning-1", "ms-1")
    store.register_agent("a", "scope-analyzer", "ms-1", "planning-1")
    store.send_agent_message("coord-001", "a", "task_assignment", {})
    store.get_agent_messages("a", True)
    clock.advance(3600)
    store.create_milestone_from_planning("planning-1", "ms-1")
    messages = store.get_session_status("planning-1")["messages"]
    assert (messages["pending"], messages["acknowledged"]) == (1, 0)
