"""An id that works on a second milestone finds its own keys there, and destroys none of the first one's."""
from __future__ import annotations

import json

import pytest

from milestone_persist import MilestoneWarning, Refused

KEY = "design-phase-results"


@pytest.fixture
def second(store, clock):
    """A store in which executor-1 has saved a key for milestone A, and has registered for B since."""
    register(store, "A")
    store.save_agent_state("executor-1", KEY, "of A")
    store.save_agent_state("executor-1", "notes", "of A")
    clock.advance(3600)
    register(store, "B")
    return store


def register(store, milestone, number=1):
    return store.register_agent("executor-1", "milestone-executor", milestone, f"execution-{milestone}-{number}")


def save(store, value, key=KEY):
    with pytest.warns(MilestoneWarning, match="was milestone [AB]'s: that is kept in checkpoint cp-"):
        store.save_agent_state("executor-1", key, value)


def missing(store, session):
    return store.recover_milestone_session(session)["missing"]


def test_a_newcomer_is_not_handed_the_keys_of_another_milestone(second, cli):
    told = cli("load-agent-state", "executor-1", KEY)
    assert (told.status, told.text, told.err) == (1, "", (
        f"milestone_persist: '{KEY}' of 'executor-1' was saved for milestone A, not for B: load_agent_state executor-1 "
        f"{KEY} --session execution-A-1 reads it\n"))
    read = cli("--from-shell", "load_agent_state", "executor-1", KEY, "--session", "execution-A-1")
    assert (read.status, read.text, read.err) == (0, "of A", "")
    told = cli("load-agent-state", "executor-1", KEY, "none")
    assert (told.status, told.text) == (0, "none")
    assert told.err == (f"milestone_persist: warning: '{KEY}' of 'executor-1' was saved for milestone A, not for B: "
                        f"the default is given; load_agent_state executor-1 {KEY} --session execution-A-1 reads it\n")
    assert "it has: none" in cli("load-agent-state", "executor-1", "other").err
    assert "was saved for milestone A" in cli("load-agent-state", "executor-1", KEY, "--session", "").err


def test_keys_of_another_milestone_are_listed_with_the_commands_that_read_them(second, cli):
    assert cli("list-agent-state", "executor-1").text == (
        f"no state\nof milestone A: load_agent_state executor-1 {KEY} --session execution-A-1\n"
        "of milestone A: load_agent_state executor-1 notes --session execution-A-1\n")
    second.save_agent_state("executor-1", "spec-1", "of B")
    assert [line.split()[0] for line in cli("list-agent-state", "executor-1").text.splitlines()] == [
        "state_key", "spec-1", "of", "of"]
    assert [(row["state_key"], row["session_id"], row["milestone_id"], row["own"])
            for row in second.list_agent_state("executor-1")] == [
        (KEY, "execution-A-1", "A", False), ("notes", "execution-A-1", "A", False),
        ("spec-1", "execution-B-1", "B", True)]


@pytest.mark.filterwarnings("ignore:.*was heard from")
def test_registering_counts_the_keys_it_finds_and_those_of_other_milestones(second, cli):
    words = ["register-agent", "executor-1", "milestone-executor"]
    assert cli(*words, "B", "execution-B-1").text == (
        "registered executor-1 (milestone-executor) in session execution-B-1 again: 0 messages requeued, 0 unread, "
        "0 keys kept, 2 keys of other milestones: list_agent_state executor-1\n")
    assert cli(*words, "A", "execution-A-2").text.endswith(": 0 messages requeued, 0 unread, 2 keys kept\n")


def test_a_save_under_the_same_key_keeps_what_was_there(second, cli):
    told = cli("save-agent-state", "executor-1", KEY, "of B")
    [kept] = [row for row in second.list_agent_checkpoints("executor-1") if row["retention_until"] is None]
    assert (told.status, kept["session_id"], kept["retention_until"]) == (0, "execution-A-1", None)
    assert told.err == (f"milestone_persist: warning: '{KEY}' of 'executor-1' was milestone A's: that is kept in "
                        f"checkpoint {kept['checkpoint_id']}; load_agent_state executor-1 {KEY} --session "
                        "execution-A-1 reads it\n")
    assert second.load_agent_state("executor-1", KEY) == "of B"
    assert second.load_agent_state("executor-1", KEY, session="execution-A-1") == "of A"
    assert missing(second, "execution-B-1") == ["spec", "task", "execute"]
    assert cli("save-agent-state", "executor-1", KEY, "of B too").err == ""


def test_what_was_saved_after_the_newcomer_came_is_kept_too(second, environ):
    with pytest.warns(MilestoneWarning, match="this counts for 'execution-A-1'"):
        environ["SESSION_ID"] = "execution-A-1"
        second.save_agent_state("executor-1", KEY, "of A, later")  # at the same instant as the checkpoint
    environ["SESSION_ID"] = "execution-B-1"
    save(second, "of B")
    assert second.load_agent_state("executor-1", KEY, session="execution-A-1") == "of A, later"
    environ["SESSION_ID"] = "execution-A-1"
    assert second.load_agent_state("executor-1", KEY) == "of A, later", "it goes on there"
    with pytest.warns(MilestoneWarning) as caught:
        second.save_agent_state("executor-1", KEY, "of A, at last")
    assert "was milestone B's: that is kept in checkpoint cp-" in str(caught[1].message)
    environ["SESSION_ID"] = "execution-B-1"
    assert second.load_agent_state("executor-1", KEY) == "of B"
    assert second.load_agent_state("executor-1", KEY, full=True)["session_id"] == "execution-B-1"


def test_what_is_kept_stays_as_long_as_its_session(second, clock):
    save(second, "of B")
    for _ in range(3):
        clock.advance(8 * 86400)
        second.create_agent_checkpoint("executor-1")
        second.cleanup_stale_coordination(10 ** 6)
    assert second.load_agent_state("executor-1", KEY, session="execution-A-1") == "of A"
    second.abandon_session("execution-A-1")
    for _ in range(2):
        clock.advance(8 * 86400)
        second.create_agent_checkpoint("executor-1")
        second.cleanup_stale_coordination(10 ** 6)
    assert [row["state_key"] for row in second.list_agent_state("executor-1")] == [KEY], "A's notes went with it"
    with pytest.raises(Refused, match="no session 'execution-A-1'"):
        second.load_agent_state("executor-1", KEY, session="execution-A-1")
    assert {row["session_id"] for row in second.list_agent_checkpoints("executor-1")} == {"execution-B-1"}
    assert None not in [row["retention_until"] for row in second.list_agent_checkpoints("executor-1")]


def test_the_version_of_a_key_is_that_of_ones_own(second):
    with pytest.raises(Refused, match="has version 0, not 1"):
        second.save_agent_state("executor-1", KEY, "of B", if_version=1)
    with pytest.warns(MilestoneWarning, match="was milestone A's"):
        assert second.save_agent_state("executor-1", KEY, "of B", if_version=0)["version"] == 2
    assert second.save_agent_state("executor-1", KEY, "of B", if_version=2)["version"] == 3


def test_a_newcomer_deletes_no_key_of_another_milestone(second, cli, dump):
    before = dump()["agent_state"]
    told = cli("delete-agent-state", "executor-1", KEY)
    assert (told.status, told.err) == (1, (
        f"milestone_persist: '{KEY}' of 'executor-1' was saved for milestone A, not for B: nothing was deleted; "
        "--session execution-A-1 deletes it\n"))
    for session in ("execution-B-1", ""):
        assert cli("delete-agent-state", "executor-1", KEY, "--session", session).status == 1
    assert dump()["agent_state"] == before
    assert cli("delete-agent-state", "executor-1", KEY, "--session", "execution-A-1").status == 0
    assert [row["state_key"] for row in second.list_agent_state("executor-1")] == ["notes"]


def test_an_agent_keeps_its_keys_through_the_sessions_of_a_milestone(second):
    register(second, "A", 2)
    assert second.load_agent_state("executor-1", KEY) == "of A"
    second.save_agent_state("executor-1", KEY, "of A, newer")
    assert second.load_agent_state("executor-1", KEY, session="execution-A-1") == "of A"
    with pytest.raises(Refused, match="no state 'notes' of agent 'executor-1' saved in session 'execution-A-2'"):
        second.load_agent_state("executor-1", "notes", session="execution-A-2")
    assert second.load_agent_state("executor-1", "notes", "d", session="execution-A-2") == "d"


def test_others_read_what_is_of_their_milestone(second, environ):
    second.register_agent("coordinator-A", "milestone-coordinator", "A", "planning-A-1")
    second.register_agent("coordinator-B", "milestone-coordinator", "B", "planning-B-1")
    second.register_agent("reviewer", "validation", "C", "validation-C-1")
    save(second, "of B")
    for caller, value in (("coordinator-A", "of A"), ("coordinator-B", "of B"), ("reviewer", "of B")):
        environ["AGENT_ID"] = caller
        assert second.load_agent_state("executor-1", KEY) == value
    del environ["AGENT_ID"]
    for session, value in (("planning-A-1", "of A"), ("planning-B-1", "of B"), ("unknown", "of B")):
        environ["SESSION_ID"] = session
        assert second.load_agent_state("executor-1", KEY) == value


def test_another_agent_reads_an_id_that_had_never_another_milestone(store, environ):
    store.register_agent("planner-A", "milestone-planner", "A", "planning-A-1")
    store.save_agent_state("planner-A", "milestone-plan", "in three steps")
    store.register_agent("coordinator-B", "milestone-coordinator", "B", "planning-B-1")
    environ.update(AGENT_ID="coordinator-B", SESSION_ID="planning-B-1")
    assert store.load_agent_state("planner-A", "milestone-plan") == "in three steps"


def test_where_no_milestone_is_known_all_is_as_it_was(store):
    store.save_agent_state("stranger", "k", "v")
    store.register_agent("coordinator-B", "milestone-coordinator", "B", "planning-B-1")
    store.register_agent("stranger", "validation", "B", "planning-B-1")
    assert store.load_agent_state("stranger", "k") == "v"
    store.save_agent_state("stranger", "k", "w")
    assert [row["own"] for row in store.list_agent_state("stranger")] == [True]


def test_the_plan_of_a_milestone_is_read_where_that_is_executed(store):
    store.create_milestone_record("ms", "there is one")
    store.register_agent("coordinator", "milestone-coordinator", "ms", "planning-ms-1")
    store.save_agent_state("coordinator", "milestone-plan", '{"title": "t"}')
    made = store.create_milestone_from_recovered_planning("planning-ms-1", "ms-2")["milestone_id"]
    store.register_agent("coordinator", "milestone-coordinator", made, "execution-ms-2-1")
    assert json.loads(store.load_agent_state("coordinator", "milestone-plan"))["title"] == "t"


def test_an_assembled_plan_keeps_that_of_another_milestone(store):
    store.register_agent("coordinator", "milestone-coordinator", "A", "planning-A-1")
    store.save_agent_state("coordinator", "milestone-plan", '"plan of A"')
    store.register_agent("coordinator", "milestone-coordinator", "B", "planning-B-1")
    store.save_agent_state("coordinator", "planning-scope", '"of B"')
    with pytest.warns(MilestoneWarning, match="'milestone-plan' of 'coordinator' was milestone A's: that is kept"):
        store.complete_planning_session("planning-B-1")
    assert store.load_agent_state("coordinator", "milestone-plan", session="planning-A-1") == '"plan of A"'


def test_the_commands_that_are_printed_work_whatever_the_names(store, run_shell, directory, environ, backend):
    if backend == "postgresql":
        environ = {**environ, "MILESTONE_BACKEND": None}
    for milestone in ("A", "B"):
        store.register_agent("it's $(me)", "milestone-executor", milestone, f"execution {milestone}")
        if milestone == "A":
            store.save_agent_state("it's $(me)", "--full", "of A")
    text = ('line=$(list_agent_state "$1" | sed -n "s/^of milestone A: //p"); eval "$line"')
    done = run_shell("dash", text, "it's $(me)", **{**environ, "MILESTONE_DIR": str(directory)})
    assert (done.status, done.text, done.err) == (0, "of A", "")


def test_two_that_live_under_one_id_each_finish_their_own_milestone(store, cli):
    results = (KEY, "spec-1", "task-1", "execute-phase-results")
    first, other = ({"AGENT_ID": "executor-1", "SESSION_ID": f"execution-{name}-1"} for name in "AB")
    assert cli("register-agent", "executor-1", "milestone-executor", "A", "execution-A-1").status == 0
    told = cli("register-agent", "executor-1", "milestone-executor", "B", "execution-B-1")
    assert told.status == 0
    assert "'executor-1' was heard from 0 s ago in session 'execution-A-1' (milestone A)" in told.err
    for key in results:
        told = cli("save-agent-state", "executor-1", key, "of A", **first)
        assert told.status == 0 and "this counts for 'execution-A-1'" in told.err
    assert "no results of: design, spec, task, execute" in cli("finalize-milestone-execution", "execution-B-1").err
    assert cli("finalize-milestone-execution", "execution-A-1").status == 0
    assert store.update_agent_status("executor-1")["status"] == "active"
    for key in results:
        told = cli("save-agent-state", "executor-1", key, "of B", **other)
        assert told.status == 0 and "was milestone A's: that is kept in checkpoint" in told.err
        assert cli("load-agent-state", "executor-1", key, "--session", "execution-A-1").text == "of A"
    assert cli("finalize-milestone-execution", "execution-B-1").status == 0
    assert {row["session_id"]: row["status"] for row in store.list_coordination_sessions()} == {
        "execution-A-1": "completed", "execution-B-1": "completed"}


def test_recovery_finds_what_another_milestone_has_displaced(second):
    before = second.recover_milestone_session("execution-A-1")
    for key in (KEY, "notes"):
        save(second, "", key)
    after = second.recover_milestone_session("execution-A-1")
    assert (after["deliverables"], after["missing"]) == (before["deliverables"], ["spec", "task", "execute"])
    second.delete_agent_state("executor-1", KEY)
    assert missing(second, "execution-A-1") == ["spec", "task", "execute"]
    assert missing(second, "execution-B-1") == ["design", "spec", "task", "execute"]
    with pytest.warns(MilestoneWarning, match="was heard from 0 s ago"):
        register(second, "A")
    second.save_agent_state("executor-1", KEY, "")
    assert missing(second, "execution-A-1") == ["design", "spec", "task", "execute"], "it was saved there again"


def test_a_milestone_is_made_of_a_plan_that_another_milestone_has_displaced(store):
    for milestone in ("A", "B"):
        store.register_agent("planner", "milestone-planner", milestone, f"planning-{milestone}-1")
        if milestone == "A":
            store.save_agent_state("planner", "milestone-plan", '{"title": "plan of A"}')
    with pytest.warns(MilestoneWarning, match="was milestone A's"):
        store.save_agent_state("planner", "milestone-plan", '{"title": "plan of B"}')
    for milestone in ("A", "B"):
        store.create_milestone_from_planning(f"planning-{milestone}-1", milestone)
        assert f"plan of {milestone}" in store.read_milestone_record(milestone)
