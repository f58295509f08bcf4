"""Registering, implicit registration, status, heartbeat."""
from __future__ import annotations

import pytest

from milestone_persist import MilestoneWarning, Refused, UsageError
from milestone_persist.base.times import format_time


def register(store, agent="exec-1", type="milestone-executor", milestone="ms-1", session="execution-ms-1-1", *more):
    return store.register_agent(agent, type, milestone, session, *more)


def agent(store, agent_id):
    return store.update_agent_status(agent_id)


def session(store, session_id="execution-ms-1-1"):
    return store.get_session_status(session_id)


def test_registering_makes_agent_session_and_milestone(store, clock):
    row = register(store, "coord-1", "milestone-coordinator", "ms-1", "planning-ms-1-1", '["planning"]')
    assert (row["status"], row["capabilities"], row["milestone_id"]) == ("active", '["planning"]', "ms-1")
    assert row["spawn_time"] == row["last_heartbeat"] == format_time(clock.time())
    told = session(store, "planning-ms-1-1")
    assert (told["operation_type"], told["status"], told["agent_count"]) == ("planning", "active", 1)
    assert (told["coordinator_id"], told["milestone_id"]) == ("coord-1", "ms-1")


@pytest.mark.parametrize("session_id, kind", [
    ("planning-1", "planning"), ("execution-1", "execution"), ("validation-1", "validation"),
    ("recovery-1", "recovery"), ("cleanup-1", "cleanup"), ("sprint-7", "execution"), ("planning", "planning"),
])
def test_operation_type_is_the_first_word_of_the_session(store, session_id, kind):
    register(store, session=session_id)
    assert session(store, session_id)["operation_type"] == kind


def test_registering_again_revives_and_keeps_state_and_spawn_time(store, clock):
    first = register(store)
    store.save_agent_state("exec-1", "key", "value")
    store.update_agent_status("exec-1", "failed", error="lost")
    clock.advance(60)
    again = register(store, "exec-1", "milestone-planner")
    assert again["spawn_time"] == first["spawn_time"]
    assert (again["status"], again["agent_type"], again["completion_time"], again["error_info"]) == \
        ("active", "milestone-planner", None, None)
    assert again["last_heartbeat"] == format_time(clock.time())
    assert store.load_agent_state("exec-1", "key") == "value"
    assert session(store)["agent_count"] == 1


def test_registering_again_without_capabilities_keeps_them(store):
    register(store, "a", "validation", "m", "s", ["one"])
    assert register(store, "a", "validation", "m", "s")["capabilities"] == '["one"]'
    assert register(store, "a", "validation", "m", "s", [])["capabilities"] == "[]"


def test_registering_in_another_session_moves_the_agent(store):
    register(store, session="s-1")
    register(store, session="s-2")
    assert session(store, "s-1")["agent_count"] == 0
    assert [row["agent_id"] for row in store.list_session_agents("s-2")] == ["exec-1"]


def test_first_coordinator_stays(store):
    register(store, "a", "validation")
    assert session(store)["coordinator_id"] is None
    register(store, "b", "milestone-coordinator")
    register(store, "c", "x-my-coordinator")
    assert session(store)["coordinator_id"] == "b"


def test_ended_session_is_opened_again(store):
    register(store)
    store.save_agent_state("exec-1", "milestone-plan", "in three steps")
    store.create_milestone_from_planning("execution-ms-1-1", "ms-1")
    assert session(store)["status"] == "completed"
    with pytest.warns(MilestoneWarning, match="was completed; it is active again"):
        register(store)
    assert (session(store)["status"], session(store)["completed_at"]) == ("active", None)


def test_unknown_type_becomes_one_of_the_callers_own(store):
    with pytest.warns(MilestoneWarning, match="stored as x-scope-analyser; did you mean scope-analyzer"):
        assert register(store, type="scope-analyser")["agent_type"] == "x-scope-analyser"
    assert register(store, type="x-quality-enforcer")["agent_type"] == "x-quality-enforcer"


def test_strict_agents_refuses_unknown_types_and_unregistered_agents(store, dump):
    register(store)
    store.set_storage_config("strict_agents", "yes")
    before = dump()
    with pytest.raises(UsageError, match="did you mean scope-analyzer"):
        register(store, "new", "scope-analyser")
    with pytest.raises(Refused, match="there is exec-1.*register_agent it first"):
        store.save_agent_state("exec-2", "k", "v")
    with pytest.raises(Refused, match="there is exec-1"):
        store.send_agent_message("exec-1", "exec-2", "error_report", {})
    assert dump() == before
    assert register(store, "own", "x-mine")["agent_type"] == "x-mine"


@pytest.mark.parametrize("bad", ['{"a": 1}', "[1]", "[", "planning", '["a", null]', ["a", 1], {"a": 1}])
def test_capabilities_are_an_array_of_strings(store, dump, bad):
    store.initialize_agent_coordination()
    before = dump()
    with pytest.raises(UsageError, match="CAPABILITIES"):
        register(store, "a", "validation", "m", "s", bad)
    assert dump() == before


def test_unregistered_agent_joins_the_session_of_the_environment(store, environ):
    register(store, session="planning-1")
    environ["SESSION_ID"], environ["MILESTONE_ID"] = "execution-named", "ms-9"
    store.save_agent_state("stranger", "k", "v")
    row = agent(store, "stranger")
    assert (row["agent_type"], row["session_id"], row["milestone_id"]) == ("unregistered", "execution-named", "ms-9")


def test_unregistered_agent_joins_the_active_session_with_the_latest_activity(store, clock):
    for number in (1, 2, 3):
        register(store, f"a-{number}", session=f"planning-{number}")
        clock.advance(1)
    store.agent_heartbeat("a-2")
    store.save_agent_state("stranger", "k", "v")
    assert agent(store, "stranger")["session_id"] == "planning-2"


def test_unregistered_agent_does_not_join_an_ended_session(store):
    register(store, session="planning-1")
    store.save_agent_state("exec-1", "milestone-plan", "in three steps")
    store.create_milestone_from_planning("planning-1", "ms-1")
    store.save_agent_state("stranger", "k", "v")
    assert agent(store, "stranger")["session_id"].startswith("execution-unregistered-")


def test_unregistered_agents_without_any_session_share_a_new_one(store):
    store.save_agent_state("one", "k", "v")
    store.agent_heartbeat("two")
    assert agent(store, "one")["session_id"] == agent(store, "two")["session_id"] == "execution-unregistered-1767225600"


OPERATIONS_BY_AN_AGENT = {
    "register": lambda s: register(s),
    "status": lambda s: s.update_agent_status("exec-1", "paused"),
    "heartbeat": lambda s: s.agent_heartbeat("exec-1"),
    "save": lambda s: s.save_agent_state("exec-1", "k", "v"),
    "delete": lambda s: s.delete_agent_state("exec-1", "saved"),
    "send": lambda s: s.send_agent_message("exec-1", "other", "error_report", {}),
    "broadcast": lambda s: s.broadcast_agent_message("exec-1", "error_report", {}),
    "look": lambda s: s.get_agent_messages("exec-1"),
    "take": lambda s: s.get_agent_messages("exec-1", True),
    "acknowledge": lambda s: s.acknowledge_agent_message("exec-1", 1),
    "checkpoint": lambda s: s.create_agent_checkpoint("exec-1"),
}


@pytest.mark.parametrize("name", OPERATIONS_BY_AN_AGENT)
def test_any_operation_by_an_agent_renews_its_heartbeat_and_the_sessions_activity(store, clock, name):
    register(store), register(store, "other")
    store.save_agent_state("exec-1", "saved", "v")
    store.send_agent_message("other", "exec-1", "error_report", {})
    clock.advance(100)
    OPERATIONS_BY_AN_AGENT[name](store)
    assert agent(store, "exec-1")["last_heartbeat"] == format_time(clock.time())
    assert session(store)["last_activity"] == format_time(clock.time())


def test_a_heartbeat_counts_as_now_after_a_clock_was_set_back(store, clock):
    register(store)
    clock.advance(-3600)
    store.agent_heartbeat("exec-1")
    assert agent(store, "exec-1")["last_heartbeat"] == format_time(clock.time())
    register(store)
    assert agent(store, "exec-1")["last_heartbeat"] == session(store)["last_activity"] == format_time(clock.time())


YEAR = 365 * 86400


@pytest.mark.parametrize("ahead", [6 * 3600, YEAR])
@pytest.mark.parametrize("look", [
    "detect_interrupted_sessions", "recover_milestone_session", "get_session_status", "list_session_agents",
    "get_session_recovery_status", "cleanup_stale_coordination", "start_session_monitor"])
def test_an_agent_of_a_clock_ahead_lives_no_longer_than_others(store, clock, cli, look, ahead):
    register(store, "exec-1")
    clock.advance(ahead)
    store.agent_heartbeat("exec-1")
    clock.advance(-ahead)
    words = {"recover_milestone_session": ["execution-ms-1-1"], "get_session_status": ["execution-ms-1-1"],
             "list_session_agents": ["execution-ms-1-1"],
             "start_session_monitor": ["--once"]}.get(look, [])
    assert cli(look, *words).status == 0
    assert agent(store, "exec-1")["last_heartbeat"] == format_time(clock.time()) == session(store)["last_activity"]
    assert agent(store, "exec-1")["status"] == "active" and store.detect_interrupted_sessions() == []
    clock.advance(300)
    assert len(store.detect_interrupted_sessions()) == 1
    clock.advance(1500)
    assert store.cleanup_stale_coordination(30)["marked_failed"] == ["exec-1"]


def test_a_lock_and_a_key_for_a_while_of_a_clock_ahead_last_no_longer_than_others(store, clock, cli):
    clock.advance(YEAR)
    register(store)
    store.acquire_milestone_lock("ms-1", owner="a", ttl=300)
    store.save_agent_state("exec-1", "brief", "v", "temp_data", 600)
    clock.advance(-YEAR)
    with pytest.raises(Refused, match="is locked by 'a'"):
        store.acquire_milestone_lock("ms-1", owner="b", wait=0)
    done = cli("doctor")
    assert done.status == 0 and "milestone_locks.acquired_at" not in done.err
    assert "agent_registry.last_heartbeat of 1 rows is in the future, as '2027-01-01 00:00:00.000'" in done.text
    store.cleanup_stale_coordination()
    clock.advance(299)
    with pytest.raises(Refused, match="is locked by 'a'"):
        store.acquire_milestone_lock("ms-1", owner="b", wait=0)
    clock.advance(1)
    assert store.acquire_milestone_lock("ms-1", owner="b", wait=0)["owner"] == "b"
    assert store.load_agent_state("exec-1", "brief") == "v"
    clock.advance(300)
    assert store.load_agent_state("exec-1", "brief", "gone") == "gone"


@pytest.mark.parametrize("status", ["spawning", "active", "paused", "completed", "failed", "terminated"])
def test_status_is_set_and_told(store, clock, status):
    register(store)
    store.update_agent_status("exec-1", status, task="write tests", phase="task", error="why")
    row = agent(store, "exec-1")
    assert (row["status"], row["current_task"], row["current_phase"], row["error_info"]) == \
        (status, "write tests", "task", "why")
    ended = status in ("completed", "failed", "terminated")
    assert row["completion_time"] == (format_time(clock.time()) if ended else None)


def test_nobody_completes_the_agent_that_has_the_id_since(cli, dump):
    cli("register-agent", "exec-1", "validation", "ms-1", "validation-1")
    cli("register-agent", "exec-1", "validation", "ms-2", "validation-2")
    before = dump()
    done = cli("update-agent-status", "exec-1", "completed", SESSION_ID="validation-1")
    assert done.status == 1 and "now the agent in session 'validation-2'" in done.err and dump() == before, done
    assert cli("update-agent-status", "exec-1", SESSION_ID="validation-1").text.startswith("active")
    done = cli("update-agent-status", "exec-1", "failed", SESSION_ID="validation-1")  # is said of an agent by others
    assert (done.status, done.err) == (0, "")
    for session in "validation-2", "validation-3", "":
        done = cli("update-agent-status", "exec-1", "completed", SESSION_ID=session)
        assert (done.status, done.err) == (0, ""), done


def test_a_coordinator_says_that_an_agent_of_another_session_has_completed(cli):
    cli("register-agent", "exec-1", "validation", "ms-1", "validation-1")
    cli("register-agent", "coord", "milestone-coordinator", "ms-1", "planning-1")
    for variables in {}, {"AGENT_ID": "coord"}:
        done = cli("update-agent-status", "exec-1", "completed", SESSION_ID="planning-1", **variables)
        assert (done.status, done.err) == (0, ""), done


def test_saying_that_an_agent_failed_is_no_sign_of_its_life(store, clock):
    before = register(store)["last_heartbeat"]
    clock.advance(600)
    store.update_agent_status("exec-1", "failed")
    assert agent(store, "exec-1")["last_heartbeat"] == before


@pytest.mark.parametrize("arguments, options, match", [
    (("exec-1", "done"), {}, "unknown agent status 'done'"), (("exec-1", "complete"), {}, "did you mean completed"),
    (("exec-1", "active"), {"phase": "coding"}, "unknown phase"), (("", "active"), {}, "AGENT_ID is empty"),
])
def test_bad_status_changes_nothing(store, dump, arguments, options, match):
    register(store)
    before = dump()
    with pytest.raises(UsageError, match=match):
        store.update_agent_status(*arguments, **options)
    assert dump() == before


@pytest.mark.parametrize("given, meant", [
    ("nobody-ms-9", ""), ("writer-ms-1", ""), ("exe-ms-2", "exec-ms-1"), ("executor-ms-1", "exec-ms-1"),
    ("cord-ms-1", "coord-ms-1")])
def test_ids_that_share_only_their_milestone_are_not_alike(store, given, meant):
    """Who follows the line would end another agent."""
    for agent in ("coord-ms-1", "exec-ms-1"):
        store.register_agent(agent, "milestone-executor", "ms-1", "execution-ms-1")
    with pytest.raises(Refused, match=f"(did you mean|there is) {meant}" if meant else "no id is like it"):
        store.update_agent_status(given, "failed")


def test_one_that_shares_only_its_milestone_with_another_is_no_slip(store):
    store.register_agent("coord-ms-1", "milestone-executor", "ms-1", "execution-ms-1")
    assert store.agent_heartbeat("nobody-ms-1")["session_id"] == "execution-ms-1"  # no warning


def test_status_of_an_unknown_agent_is_refused_with_the_nearest(store):
    register(store)
    for arguments in (["exec-2"], ["exec-2", "failed"]):
        with pytest.raises(Refused, match="no agent 'exec-2' in .*: there is exec-1"):
            store.update_agent_status(*arguments)


def test_health_is_logged_with_its_numbers(store, dump):
    register(store)
    store.agent_heartbeat("exec-1")
    assert dump()["agent_health_log"] == []
    store.agent_heartbeat("exec-1", "degraded", cpu=97.5, memory=512, response_ms=20, errors=1, warnings=2)
    [row] = dump()["agent_health_log"]
    for part in ("'degraded'", "97.5", "512", "20", "'error_count': 1", "'warning_count': 2"):
        assert part in row


def test_bad_health_changes_nothing(store, dump):
    store.initialize_agent_coordination()
    before = dump()
    with pytest.raises(UsageError, match="unknown health status"):
        store.agent_heartbeat("exec-1", "fine")
    with pytest.raises(UsageError, match="--cpu"):
        store.agent_heartbeat("exec-1", cpu=-1)
    assert dump() == before


def test_agents_of_a_session_are_listed_with_the_age_of_their_heartbeat(store, clock):
    register(store, "b"), register(store, "a"), register(store, "elsewhere", session="s-2")
    clock.advance(90)
    store.agent_heartbeat("a")
    rows = store.list_session_agents("execution-ms-1-1")
    assert [(row["agent_id"], row["minutes_since_heartbeat"]) for row in rows] == [("a", 0.0), ("b", 1.5)]
    with pytest.raises(Refused, match="no session 'execution-ms-1-2' in .*: there is execution-ms-1-1"):
        store.list_session_agents("execution-ms-1-2")


SLIPS = {
    "save": lambda s, a: s.save_agent_state(a, "k", "v"), "heartbeat": lambda s, a: s.agent_heartbeat(a),
    "send": lambda s, a: s.send_agent_message(a, "executor-1", "x-t", {}),
    "take": lambda s, a: s.get_agent_messages(a, True), "checkpoint": lambda s, a: s.create_agent_checkpoint(a),
}


@pytest.mark.parametrize("name", SLIPS)
@pytest.mark.parametrize("slip", ["exectuor-1", "executor1", "Executor-1", "executor_1", "executer-1"])
def test_an_agent_taken_in_under_a_slip_of_an_id_is_warned_of_once(store, name, slip):
    register(store, "executor-1")
    with pytest.warns(MilestoneWarning) as caught:
        SLIPS[name](store, slip)
    assert [str(warning.message) for warning in caught] == [
        f"no agent {slip!r} is registered: it is taken in as a new one; did you mean executor-1?"]
    SLIPS["save"](store, slip)


def test_an_id_with_another_number_is_another_agent(store):
    register(store, "executor-1"), register(store, "scope-001")
    for other in ("executor-2", "executor-11", "executor", "kiro-001", "coordinator-1"):
        store.save_agent_state(other, "k", "v")


@pytest.mark.parametrize("look", [
    lambda s, a: s.load_agent_state(a, "k", ""), lambda s, a: s.list_agent_state(a),
    lambda s, a: s.get_agent_messages(a), lambda s, a: s.list_agent_checkpoints(a),
], ids=["load", "list", "messages", "checkpoints"])
def test_looking_at_what_is_not_there_under_a_slip_of_an_id_is_warned_of(store, look):
    register(store, "executor-1")
    with pytest.warns(MilestoneWarning, match="no agent 'exectuor-1' is registered: .*; did you mean executor-1?"):
        assert not look(store, "exectuor-1")
    assert not look(store, "somebody") and not look(store, "executor-1")


@pytest.mark.parametrize("ask", [
    lambda s, a: s.load_agent_state(a, "k"), lambda s, a: s.delete_agent_state(a, "k"),
    lambda s, a: s.acknowledge_agent_message(a, 1), lambda s, a: s.requeue_agent_message(a, 1),
], ids=["load", "delete", "acknowledge", "requeue"])
def test_a_refusal_for_an_unknown_agent_suggests_ids(store, ask):
    register(store, "executor-1")
    with pytest.raises(Refused, match="no agent 'exectuor1' is registered: did you mean executor-1?"):
        ask(store, "exectuor1")
    with pytest.raises(Refused) as refused:
        ask(store, "executor-1")
    assert "did you mean" not in str(refused.value)


SWAPPED = {
    "id and type": (["register-agent", "milestone-executor", "c", "ms-1", "execution-ms-1"], "AGENT_ID and AGENT_TYPE",
                    "register_agent c milestone-executor ms-1 execution-ms-1"),
    "milestone and session": (["register-agent", "b", "milestone-executor", "execution-ms-1", "ms-1"],
                              "MILESTONE_ID and SESSION_ID", "register_agent b milestone-executor ms-1 execution-ms-1"),
    "a part of it": (["register-agent", "b", "milestone-executor", "planning-A-1", "A"], "MILESTONE_ID and SESSION_ID",
                     "register_agent b milestone-executor A planning-A-1"),
    "a known milestone": (["register-agent", "b", "validation", "execution-1", "known"], "MILESTONE_ID and SESSION_ID",
                          "register_agent b validation known execution-1"),
    "a known session": (["register-agent", "b", "validation", "execution-known", "other"],
                        "MILESTONE_ID and SESSION_ID", "register_agent b validation other execution-known"),
    "to and type": (["send-agent-message", "w", "progress_update", "coord", "{}"], "TO_AGENT and MESSAGE_TYPE",
                    "send_agent_message w coord progress_update '{}'"),
    "payload and type": (["send-agent-message", "w", "coord", '{"n": 1}', "error_report"], "PAYLOAD and MESSAGE_TYPE",
                         "send_agent_message w coord error_report '{\"n\": 1}'"),
    "of a broadcast": (["broadcast-agent-message", "phase_transition", "coord", "{}"], "FROM_AGENT and MESSAGE_TYPE",
                       "broadcast_agent_message coord phase_transition '{}'"),
    "id and status": (["update-agent-status", "completed", "exec-1"], "AGENT_ID and STATUS",
                      "update_agent_status exec-1 completed"),
    "id and health": (["agent-heartbeat", "healthy", "exec-1"], "AGENT_ID and HEALTH",
                      "agent_heartbeat exec-1 healthy"),
    "id and number": (["acknowledge-agent-message", "1", "exec-1"], "AGENT_ID and MESSAGE_ID",
                      "acknowledge_agent_message exec-1 1"),
    "session and number": (["update-session-progress", "50", "execution-known", "task"], "SESSION_ID and PERCENT",
                           "update_session_progress execution-known 50 task"),
}


@pytest.mark.parametrize("name", SWAPPED)
def test_words_that_have_changed_places_are_named_with_the_right_call(store, cli, dump, name):
    words, which, right = SWAPPED[name]
    register(store, "exec-1", milestone="known", session="execution-known")
    before = dump()
    told = cli(*words)
    assert (told.status, told.err) == (2, f"milestone_persist: {which} are swapped: {right}\n")
    assert dump() == before


@pytest.mark.parametrize("words, right", [
    (["send-agent-message", "progress_update", "w", "coord", "{}"],
     "'progress_update' is a MESSAGE_TYPE, but stands where FROM_AGENT belongs: "
     "send_agent_message FROM_AGENT TO_AGENT progress_update '{}'"),
    (["register-agent", "ms-1", "execution-1", "validation", "b"],
     "'validation' is an AGENT_TYPE, but stands where MILESTONE_ID belongs: "
     "register_agent AGENT_ID validation MILESTONE_ID SESSION_ID"),
    (["register-agent", "b", "x-mine", "ms-1", '["planning"]'],
     "CAPABILITIES stand where SESSION_ID belongs: register_agent b x-mine ms-1 execution-9 '[\"planning\"]'"),
])
def test_a_word_that_stands_elsewhere_is_named_with_its_place(store, cli, dump, words, right):
    register(store, "exec-1")
    before = dump()
    told = cli(*words, SESSION_ID="execution-9")
    assert (told.status, told.err) == (2, f"milestone_persist: {right}\n")
    assert dump() == before


@pytest.mark.parametrize("words", [
    ("validation", "git-operations", "ms-1", "execution-1"), ("progress-tracker", "x-mine", "ms-1", "execution-1"),
    ("a", "validation", "planning-tool", "session-1"), ("a", "validation", "planning-tool", "planning-1"),
    ("a", "validation", "recovery", "recovery-1"), ("a", "validation", "execution-engine", "sprint-7"),
    ("a", "validation", "planning", "ms-1"),
])
def test_words_that_may_be_right_are_taken(store, words):
    assert store.register_agent(*words)["agent_id"] == words[0]


def test_a_milestone_known_by_the_name_of_a_session_is_taken(store):
    store.create_milestone_record("planning-ms-1", "title: Planning of ms-1")
    assert store.register_agent("a", "validation", "planning-ms-1", "ms-1")["session_id"] == "ms-1"
    store.send_agent_message("error_report", "a", "x-t", {})


@pytest.mark.parametrize("wrong, says", [
    ("s-1", "that is a session, whose agents list_session_agents s-1 shows"),
    ("ms-1", "that is a milestone, and list_session_agents s-1 shows agents of it"),
    ("exec-s-2", "there is exec-s-1"), ("exec-s", "did you mean exec-s-1?"), ("exce-s-1", "did you mean exec-s-1?"),
    ("exec-s-01", "did you mean exec-s-1?")])
def test_who_is_no_agent_is_told_what_that_id_is_and_no_other_is_meant_by_it(store, dump, wrong, says):
    """Who does what the line says must not complete another's agent."""
    store.register_agent("exec-s-1", "milestone-executor", "ms-1", "s-1")
    before = dump()
    for call in (lambda: store.update_agent_status(wrong, "completed"),
                 lambda: store.load_agent_state(wrong, "k"), lambda: store.delete_agent_state(wrong, "k")):
        with pytest.raises(Refused) as refused:
            call()
        assert says in str(refused.value)
    assert dump() == before


def test_a_message_to_what_is_no_agent_says_what_that_is(store):
    store.register_agent("exec-s-1", "milestone-executor", "ms-1", "s-1")
    for wrong, says in (("s-1", "that is a session, whose"), ("ms-1", "that is a milestone, and")):
        with pytest.warns(MilestoneWarning, match=f"the message is kept for it; {says}"):
            store.send_agent_message("exec-s-1", wrong, "x-t", {})


def test_a_milestone_given_as_the_session_is_told_of_where_that_has_one(store, cli):
    store.register_agent("coord-1", "milestone-coordinator", "ms-1", "execution-ms-1-1")
    done = cli("register-agent", "exec-1", "milestone-executor", "ms-1", "ms-1")
    join = "register_agent exec-1 milestone-executor ms-1 execution-ms-1-1"
    assert done.status == 0 and f"beside 'execution-ms-1-1', which goes on: {join} joins that\n" in done.err
    assert cli("register-agent", "exec-2", "milestone-executor", "ms-1", "ms-1").err == ""  # who repeats it means it
    assert cli(*join.split()).text.startswith("registered exec-1 (milestone-executor) in session execution-ms-1-1")


def test_a_session_may_have_the_name_of_its_milestone(store, cli):
    assert cli("register-agent", "exec-1", "milestone-executor", "ms-1", "ms-1").err == ""
    store.register_agent("x", "validation", "ms-2", "execution-ms-2")
    store.abandon_session("execution-ms-2")
    assert cli("register-agent", "exec-2", "milestone-executor", "ms-2", "ms-2").err == ""
