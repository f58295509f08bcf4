"""Status: everything at a glance, what needs attention and the command for it first, in few lines and tokens."""
from __future__ import annotations

import json
import re
import shlex

import pytest

from milestone_persist import UsageError
from milestone_persist.coordination import bounded

SESSION = "execution-ms-1-1"
pytestmark = pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")


def register(store, *agents, session=SESSION, kind="feature-implementation"):
    for agent in agents:
        store.register_agent(agent, kind, "ms-1", session)


def count_tokens(text):
    """No less than what a model's tokenizer makes of it: every word, and every other character, is one."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def test_where_there_is_no_store_it_says_so(unmade, cli, directory):
    assert cli("status").text == f"{directory} (not made yet)\n"
    assert not directory.exists()


def test_a_session_that_goes_well_needs_nothing(store, cli):
    register(store, "a", "b")
    view = store.status()
    assert view["attention"] == []
    assert [(row["session_id"], row["alive"], row["agents"]) for row in view["sessions"]] == [(SESSION, 2, 2)]
    assert [(row["agent_id"], row["status"], row["silent"]) for row in view["agents"]] == [
        ("a", "active", False), ("b", "active", False)]
    assert cli("status").text.splitlines()[1:3] == [
        f"{SESSION} (ms-1): active, 0 %, 2 of 2 agents alive", "  active 2: a b"]


def test_what_needs_attention_comes_first_and_its_command_runs(store, cli, clock):
    register(store, "a", "b", "dead", "gone")
    store.send_agent_message("a", "dead", "task_assignment", {})
    store.get_agent_messages("dead", True)
    store.send_agent_message("a", "b", "task_assignment", {}, 9)
    store.send_agent_message("a", "gone", "task_assignment", {})
    store.update_agent_status("gone", "completed")
    clock.advance(700)
    for agent in ("a", "b"):
        store.agent_heartbeat(agent)
    view = store.status()
    assert [row["what"] for row in view["attention"]] == [
        f"{SESSION}: silent: dead (12 min)", "an urgent message for b waits 11 min",
        "1 unread for gone (completed)"]
    assert view["sessions"][0]["alive"] == 2
    text = cli("status").text.splitlines()
    assert text[1] == (f"attention: {SESSION}: silent: dead (12 min): recover_milestone_session {SESSION}")
    assert text[-1] == f"next: python3 -m milestone_persist recover_milestone_session {SESSION}"
    for row in view["attention"]:
        assert cli(*row["command"]).status == 0


def test_failed_agents_and_dead_letters_are_named(store, cli):
    store.set_storage_config("message_retry_limit", "0")
    register(store, "a", "b")
    store.send_agent_message("a", "b", "task_assignment", {})
    store.get_agent_messages("b", True)
    store.update_agent_status("b", "failed", error="no space left")
    view = store.status()
    assert [row["what"] for row in view["attention"]] == [f"{SESSION}: failed: b", "1 dead letters for b"]
    assert "  b failed 0 s, 1 dead, no space left" in cli("status").text.splitlines()
    assert view["inboxes"] == [{"agent_id": "b", "waiting": 0, "taken": 0, "dead": 1, "urgent_since": None,
                                "at_least": []}]


def test_a_full_inbox_is_told_by_a_number_there_is_at_least_and_others_exactly(store, cli, clock, monkeypatch):
    register(store, "a", "b", "c")
    for reader, priority in (("a", 5), ("b", 9), ("b", 5), ("b", 8), ("b", 5), ("c", 5)):
        store.send_agent_message("a", reader, "task_assignment", {}, priority)
        clock.advance(1)
    exact = store.status()["inboxes"]
    assert [(row["waiting"], row["at_least"]) for row in exact] == [(1, []), (4, []), (1, [])]
    monkeypatch.setattr(bounded, "MOST_COUNTED", 3)
    for view in (store.status(), store.status(SESSION)):
        assert view["inboxes"] == [exact[0], {**exact[1], "waiting": 3, "at_least": ["waiting"]}, exact[2]]
    assert re.findall(r"\n  (\w) active \d s, (\S+) waiting", cli("status").text) == [
        ("a", "1"), ("b", "3+"), ("c", "1")]


def test_mail_of_a_failed_agent_is_told_with_its_session_and_that_of_an_ended_one_apart(store):
    register(store, "a", "b", "c")
    for agent in ("b", "c"):
        store.send_agent_message("a", agent, "task_assignment", {})
    store.update_agent_status("b", "failed")
    store.update_agent_status("c", "completed")
    assert [row["what"] for row in store.status()["attention"]] == [
        f"{SESSION}: failed: b", "1 unread for c (completed)"]


def test_mail_for_one_who_never_registered_is_seen(store):
    register(store, "a")
    store.send_agent_message("a", "nobody", "task_assignment", {})
    assert [row["what"] for row in store.status()["attention"]] == ["1 unread for nobody (not registered)"]


def test_one_session_leaves_the_others_out(store, cli):
    register(store, "a")
    register(store, "z", "y", session="planning-ms-1-1")
    store.send_agent_message("z", "y", "task_assignment", {})
    view = store.status(SESSION)
    assert [row["session_id"] for row in view["sessions"]] == [SESSION]
    assert [row["agent_id"] for row in view["agents"]] == ["a"]
    assert view["inboxes"] == []
    assert {row["session_id"] for row in view["events"]} == {SESSION}
    assert cli("status", "no-such").status == 1


def test_of_ended_sessions_the_latest_are_shown_without_their_agents(store, clock):
    for number in range(5):
        register(store, f"a{number}", session=f"validation-{number}")
        store.complete_coordination_session(f"validation-{number}")
        clock.advance(1)
    view = store.status()
    assert [row["session_id"] for row in view["sessions"]] == ["validation-4", "validation-3", "validation-2"]
    assert view["agents"] == []


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("number, most", [(3, 159), (30, 375)])
def test_it_is_short_for_a_reader_who_pays_per_token(store, cli, clock, number, most):
    """The bounds are what was measured; half of the agents have mail, one has died."""
    agents = [f"impl-ms-1-{place}" for place in range(number)]
    register(store, *agents)
    for agent in agents[::2]:
        store.send_agent_message(agents[0], agent, "task_assignment", {})
    clock.advance(400)
    for agent in agents[1:]:
        store.agent_heartbeat(agent)
    text = cli("status").text
    told = text.replace(str(store.directory), "DIRECTORY")
    assert len(text.splitlines()) <= 40
    assert count_tokens(told) <= most


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_it_never_has_more_than_40_lines(store, cli):
    store.set_storage_config("message_retry_limit", "0")
    for session in range(12):
        agents = [f"a-{session}-{place}" for place in range(12)]
        register(store, *agents, session=f"execution-{session}")
        for agent in agents:
            store.send_agent_message(agents[0], agent, "task_assignment", {})
            store.send_agent_message(agents[0], f"nobody-{agent}", "task_assignment", {})
        store.get_agent_messages(agents[1], True)
        store.update_agent_status(agents[1], "failed", error="x" * 500)
    lines = cli("status").text.splitlines()
    assert len(lines) <= 40
    assert all(len(line) < 500 for line in lines)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_json_has_all_of_it(store, cli):
    register(store, "a")
    assert json.loads(cli("status", "--json").text) == store.status()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_watching_without_a_terminal_is_refused_with_what_to_use(store, cli):
    done = cli("status", "--watch")
    assert done.status == 2
    assert shlex.split(done.err.partition(": list_")[2])[:2] == ["coordination_events", "--follow"]
    with pytest.raises(UsageError, match="terminal"):
        store.status(watch=True)
