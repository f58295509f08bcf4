"""What one check of the session monitor does, also where the storage is in trouble; what calls of others do without."""
from __future__ import annotations

import sqlite3

import pytest
from test_monitor import log_of

from milestone_persist import Refused, UsageError


def agent_with_taken_message(store, agent_id="exec-1", session="execution-ms-1"):
    store.register_agent(agent_id, "milestone-executor", "ms-1", session)
    message = store.send_agent_message("boss", agent_id, "task_assignment", {})["id"]
    store.get_agent_messages(agent_id, True)
    return message


@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
def test_a_check_marks_silent_agents_failed_and_puts_back_what_they_took(store, clock, dump):
    store.register_agent("boss", "milestone-coordinator", "ms-1", "execution-ms-1")
    message = agent_with_taken_message(store)
    clock.advance(1801)
    store.agent_heartbeat("boss")
    checked = store.start_session_monitor(once=True)
    [failed] = checked["failed"]
    assert (failed["agent_id"], failed["returned"], failed["dead_lettered"]) == ("exec-1", 1, 0)
    assert checked["interrupted"] == ["execution-ms-1"]
    assert checked["unresponsive"] == ["exec-1"]
    [health] = dump()["agent_health_log"]
    assert "'unresponsive'" in health and "'exec-1'" in health
    store.register_agent("exec-2", "milestone-executor", "ms-1", "execution-ms-1")
    [back] = store.get_agent_messages("exec-1")
    assert (back["id"], back["retry_count"]) == (message, 1)


def test_a_second_check_finds_nothing_more_to_do(store, clock, dump):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(1801)
    store.start_session_monitor(once=True)
    before = dump()
    assert store.start_session_monitor(once=True)["failed"] == []
    assert dump() == before


def test_the_thresholds_are_the_settings(store, clock):
    store.set_storage_config("session_timeout", "60")
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(59)
    assert store.start_session_monitor(once=True)["failed"] == []
    clock.advance(1)
    assert [row["agent_id"] for row in store.start_session_monitor(once=True)["failed"]] == ["exec-1"]


def test_an_agent_that_reports_its_health_is_noted_once_for_each_silence(store, clock):
    for agent_id in ("reports", "never-did"):
        store.register_agent(agent_id, "milestone-executor", "ms-1", "execution-ms-1")
    store.agent_heartbeat("reports", "healthy")

    def noted_after(seconds):
        clock.advance(seconds)
        return store.start_session_monitor(once=True)["unresponsive"]

    assert noted_after(59) == []
    assert noted_after(1) == ["reports"]
    assert noted_after(60) == []
    store.agent_heartbeat("reports")
    assert noted_after(60) == ["reports"]
    store.set_storage_config("health_check_interval", "600")
    store.agent_heartbeat("reports")
    assert noted_after(60) == []


def test_an_agent_marked_failed_that_is_heard_of_again_is_active_again(store, clock):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(1801)
    store.start_session_monitor(once=True)
    clock.advance(1)
    store.agent_heartbeat("exec-1")
    store.start_session_monitor(once=True)
    assert store.update_agent_status("exec-1")["status"] == "active"


def test_a_single_check_prints_and_logs_what_it_did(cli, clock, directory):
    cli("register-agent", "exec\u200b1", "milestone-executor", "ms-1", "execution-ms-1")
    assert cli("start-session-monitor", "--once").text == "checked: nothing to do\n"
    clock.advance(1800)
    done = cli("start-session-monitor", "--once")
    line = "checked: failed: exec\\u200b1 (30 min silent); unresponsive: exec\\u200b1; interrupted: execution-ms-1"
    assert (done.status, done.text) == (0, f"{line}\nnext: recover_milestone_session execution-ms-1\n")
    assert log_of(directory) == ["checked: nothing to do", line]


def test_a_single_check_counts_dead_letters(cli, store, clock):
    store.set_storage_config("message_retry_limit", "0")
    agent_with_taken_message(store)
    clock.advance(1800)
    assert "dead letters: 1; " in cli("start-session-monitor", "--once").text


def test_once_without_a_data_directory_leaves_no_trace(unmade, cli, directory):
    done = cli("start-session-monitor", "--once")
    assert (done.status, done.text) == (0, "checked: there is no storage to check\n")
    assert not directory.exists()


@pytest.mark.parametrize("words", [["0"], ["86401"], ["1.5"], ["soon"], ["--once", "--foreground"], ["-5"]])
def test_bad_usage_starts_nothing(cli, directory, words):
    done = cli("start-session-monitor", *words)
    assert (done.status, done.text, done.err.count("\n")) == (2, "", 1)
    assert not directory.exists()


def test_what_others_say_about_an_agent_is_no_heartbeat(store, clock, dump):
    before = store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")["last_heartbeat"]
    clock.advance(60)
    assert store.agent_heartbeat("exec-1", "unresponsive")["last_heartbeat"] == before
    assert len(dump()["agent_health_log"]) == 1
    with pytest.raises(Refused):
        store.agent_heartbeat("nobody", "unresponsive")
    with pytest.raises(UsageError):
        store.agent_heartbeat("exec-1", "healthy", response_ms=float("nan"))


# Without a monitor, the calls of other agents do what a check does.

@pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
@pytest.mark.parametrize("call", [("get-agent-messages", "boss", "true"),
                                  ("register-agent", "new", "milestone-planner", "ms-1", "execution-ms-1")])
def test_silent_agents_are_marked_by_the_calls_of_others(store, cli, clock, dump, call, backend):
    store.register_agent("boss", "milestone-coordinator", "ms-1", "execution-ms-1")
    message = agent_with_taken_message(store)
    clock.advance(1801)
    store.agent_heartbeat("boss")
    assert cli(*call).err == "" and len(dump()["agent_health_log"]) == 1
    clock.advance(59)
    assert cli("get-agent-messages", "boss", "true").err == "" and len(dump()["agent_health_log"]) == 1
    if backend == "file":  # one of all calls in 15 seconds looks: the one before has
        clock.advance(14)
        assert cli("get-agent-messages", "boss", "true").err == "" and len(dump()["agent_health_log"]) == 1
    clock.advance(1)
    before = dump()["agent_registry"]
    assert cli("get-agent-messages", "boss").err == ""
    assert [row for row in dump()["agent_registry"] if "exec-1" in row] == [row for row in before if "exec-1" in row]
    done = cli(*call)
    assert done.status == 0 and done.err.splitlines(keepends=True)[0] == (
        "milestone_persist: silent for more than 30 min, and marked failed: exec-1 (messages requeued: 1); "
        "detect_interrupted_sessions tells what to do\n")
    assert store.update_agent_status("exec-1")["status"] == "failed"
    [back] = store.get_agent_messages("exec-1")
    assert (back["id"], back["retry_count"]) == (message, 1)
    assert "silent" not in cli(*call).err


def test_after_a_sleep_of_the_machine_the_calls_of_others_give_an_agent_time_to_be_heard(store, cli, clock):
    store.register_agent("boss", "milestone-coordinator", "ms-1", "execution-ms-1")
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    clock.advance(7200)
    cli("get-agent-messages", "boss", "true")
    clock.advance(59)
    store.agent_heartbeat("exec-1")
    clock.advance(60)
    assert cli("get-agent-messages", "boss", "true").err == ""
    assert store.update_agent_status("exec-1")["status"] == "active"


def test_an_agent_does_not_mark_itself(store, cli, clock):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    for _ in range(3):
        clock.advance(1801)
        assert cli("get-agent-messages", "exec-1", "true").err == ""
    assert store.update_agent_status("exec-1")["status"] == "active"


# The storage in trouble during a check.

@pytest.fixture
def check_line(cli):
    """Runs one check as the monitor does, and gives its line in the log or its error."""
    def check_line():
        done = cli("start-session-monitor", "--once")
        return done.text.strip() or done.err.strip()

    return check_line


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_locked_database_is_an_error_of_one_check(check_line, store, directory, monkeypatch):
    monkeypatch.setattr("milestone_persist.storage.sqlite.embedded.BUSY_SECONDS", 0.01)
    other = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "is busy" in check_line()
    other.execute("ROLLBACK")
    other.close()
    assert check_line() == "checked: nothing to do"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_missing_database_is_not_made_and_one_put_in_its_place_is_checked(check_line, store, directory, clock):
    store.register_agent("exec-1", "milestone-executor", "ms-1", "execution-ms-1")
    store.close()
    kept = directory / "kept.db"
    (directory / "coordination.db").rename(kept)
    assert "coordination.db is missing" in check_line()
    assert not (directory / "coordination.db").exists()
    kept.rename(directory / "coordination.db")
    clock.advance(1800)
    assert "failed: exec-1" in check_line()
