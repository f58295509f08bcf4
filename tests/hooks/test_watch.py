"""watch: a line for each new message, again while it is not read, and its end; and who sees whether it lives."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

from milestone_persist.coordination.watchers import list_watchers
from milestone_persist.hooks import watching
from milestone_persist.storage.interface import Storage

MINUTE = 60


@pytest.fixture
def team(store):
    for agent in ("exec", "boss"):
        store.register_agent(agent, "validation", "ms-1", "validation-1")
    return store


@pytest.fixture
def send(team, connect):
    """Sends a message as another process; its id."""
    other = connect()

    def send(priority=5, to="exec"):
        return other.send_agent_message("boss", to, "task_assignment", {"secret": "the body"}, priority)["id"]

    send.other = other
    return send


@pytest.fixture
def watch(cli, clock):
    """Runs watch for so many seconds, in which things are done at their seconds: watch(60, {5: action}); its lines."""
    def watch(seconds, plan={}, *words, **variables):
        begin, plan = clock.time(), dict(plan)

        def step():
            for due in [due for due in plan if clock.time() - begin >= due]:
                plan.pop(due)()
            clock.during_sleep = step

        clock.during_sleep = step
        done = cli("watch", "--agent", "exec", "--seconds", seconds, *words, **variables)
        clock.during_sleep = None
        assert (done.status, done.err) == (0, "")
        watch.took = clock.time() - begin
        return done.text.splitlines()

    return watch


@pytest.fixture
def coarse(monkeypatch):
    """Hours pass in few looks."""
    monkeypatch.setattr(Storage, "poll_seconds", 30)
    monkeypatch.setattr(watching, "RECHECK_SECONDS", 30)


def test_each_message_is_told_once_and_never_what_it_says(watch, send):
    first = send(8)
    lines = watch(20, {5: send, 6: lambda: send(to="boss"), 10: send})
    assert lines == [f"message {first} task_assignment from boss (priority 8): get_agent_messages exec true",
                     f"message {first + 1} task_assignment from boss: get_agent_messages exec true",
                     f"message {first + 3} task_assignment from boss: get_agent_messages exec true"]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_it_calls_again_at_long_intervals_until_that_is_read(coarse, watch, send):
    def read():
        send.other.get_agent_messages("exec", True)

    number = send()
    lines = watch(230 * MINUTE, {150 * MINUTE: read})
    assert lines[0].startswith(f"message {number} ") and len(lines) == 5
    assert [line.partition(",")[0] for line in lines[1:]] == ["still unread"] * 4
    assert [line.partition("for ")[2].partition(":")[0] for line in lines[1:]] == ["5 min", "20 min", "80 min", "2 h"]
    assert all(line.endswith(": get_agent_messages exec true") and "body" not in line for line in lines)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_new_message_begins_the_intervals_again(coarse, watch, send):
    send()
    lines = watch(30 * MINUTE, {22 * MINUTE: send})
    assert [line.partition(" ")[0] for line in lines] == ["message", "still", "still", "message", "still"]
    assert "2 messages to exec" in lines[4]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_what_is_back_in_the_inbox_is_told_again(watch, send):
    number = send()
    lines = watch(20, {3: lambda: send.other.get_agent_messages("exec", True),
                       6: lambda: send.other.requeue_agent_message("exec", number)})
    assert len(lines) == 2 and lines[0] == lines[1]


@pytest.mark.parametrize("words, called", [([], [8]), (["--all"], [5, 8])])
def test_broadcasts_call_only_if_they_are_urgent_or_asked_for(watch, send, words, called):
    lines = watch(10, {priority: lambda priority=priority: send.other.broadcast_agent_message(
        "boss", "phase_transition", {}, priority) for priority in (5, 8)}, *words)
    assert ["priority 8" in line for line in lines] == [priority == 8 for priority in called]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_flood_is_counted(watch, send):
    for _ in range(20):
        send()
    lines = watch(5)
    assert len(lines) == 13 and lines[-1] == "8 more messages to exec: get_agent_messages exec true"


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_of_many_unread_messages_each_is_told_once_all_the_same(watch, send, monkeypatch):
    """Though only the newest are looked at: those that were not among them are no news when these have been read."""
    monkeypatch.setattr(watching, "MOST_KNOWN", 3)
    first = [send() for _ in range(3)]
    lines = watch(20, {3: send, 6: send, 9: lambda: send.other.acknowledge_agent_message("exec", first[-1] + 2),
                       12: lambda: send.other.requeue_agent_message("exec", first[-1] + 2)})
    told = [int(line.split()[1]) for line in lines]
    assert told == [*first, first[-1] + 1, first[-1] + 2, first[-1] + 2]


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_programs_read_json(watch, send):
    number = send(8)
    [line] = watch(0, {}, "--json")[:-1]
    told = json.loads(line)
    assert (told["call"], told["id"], told["from_agent"], told["priority"]) == ("message", number, "boss", 8)


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_who_watches_is_not_the_agent_and_gives_no_sign_of_its_life(watch, team):
    before = team.update_agent_status("exec")["last_heartbeat"]
    watch(90, {}, AGENT_ID="exec")
    assert team.update_agent_status("exec")["last_heartbeat"] == before


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_it_follows_a_store_that_moves(watch, team, environ, connect, backend):
    del environ["MILESTONE_BACKEND"]
    other = connect()
    lines = watch(20, {5: lambda: other.migrate_storage_backend("hybrid" if backend == "file" else "file"),
                       10: lambda: other.send_agent_message("boss", "exec", "error_report", {})})
    assert len(lines) == 1


def test_it_ends_when_the_agent_has_completed(watch, send):
    assert watch(3600, {5: lambda: send.other.update_agent_status("exec", "completed")}) == []
    assert watch.took < 10


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_it_goes_on_for_an_agent_that_seems_dead(watch, send):
    with pytest.warns(match="is failed"):
        assert len(watch(20, {5: lambda: send.other.update_agent_status("exec", "failed"), 10: send})) == 1


def test_it_ends_with_its_store_and_makes_none(unmade, cli, directory):
    done = cli("watch", "--agent", "exec")
    assert (done.status, done.text, done.err.count("\n")) == (1, "", 1) and "no store" in done.err
    assert not directory.exists()


@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_it_ends_when_its_store_is_removed(team, cli, clock, directory):
    clock.during_sleep = lambda: shutil.rmtree(directory)
    done = cli("watch", "--agent", "exec")
    assert (done.status, done.text, done.err.count("\n")) == (3, "", 1) and "removed meanwhile" in done.err
    assert not directory.exists()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_whose_mail_must_be_said(team, cli):
    assert cli("watch").status == 2 and cli("watch", "--agent", "a\nb").status == 2
    assert cli("watch", "--seconds", "-1", AGENT_ID="exec").status == 2
    assert cli("watch", "--seconds", "0", AGENT_ID="exec").status == 0


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_one_that_can_leave_no_file_watches_all_the_same(team, send, cli, directory):
    (directory / "watchers").write_text("")
    send()
    done = cli("watch", "--agent", "exec", "--seconds", "0")
    assert done.status == 0 and done.text.startswith("message ") and "doctor will not show" in done.err


# Who lives

def test_one_watches_and_doctor_says_so(team, watch, cli, directory):
    seen = []
    watch(10, {5: lambda: seen.extend([cli("doctor"), cli("watch", "--agent", "exec"), list_watchers(str(directory)),
                                       cli("status")])})
    assert "\nwatched 1: exec\n" in seen[3].text and "watched" not in cli("status").text
    assert f"the watcher of exec is alive: pid {os.getpid()} on " in seen[0].text and seen[0].status == 0
    assert seen[1].status == 1 and f"is alive: pid {os.getpid()}" in seen[1].err
    assert [(row["agent_id"], row["alive"]) for row in seen[2]] == [("exec", True)]
    assert list_watchers(str(directory)) == [] and "watcher" not in cli("doctor").text


@pytest.fixture
def start(team, directory, environ):
    """Starts a watcher as a process; it has told of one message when this returns."""
    started = []

    def start():
        started.append(subprocess.Popen(
            [sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", "watch", "--agent", "exec"],
            env={**environ, "MILESTONE_DIR": str(directory)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        assert started[-1].stdout.readline().startswith(b"message ")
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(send, start, directory, number):
    send()
    process = start()
    process.send_signal(number)
    assert process.communicate(timeout=60) == (b"", b"") and process.returncode == 0
    assert list_watchers(str(directory)) == []


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("writes", [False, True])
def test_it_ends_when_its_reader_has_gone(send, start, directory, writes):
    send()
    process = start()
    process.stdout.close()
    if writes:
        send()
    assert process.wait(60) in (0, 141) and process.stderr.read() == b""
    assert list_watchers(str(directory)) == []


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_one_that_was_killed_is_known_to_be_dead(send, start, cli, team, directory):
    send()
    process = start()
    process.kill()
    process.wait()
    done = cli("doctor")
    assert done.status == 0 and f"the watcher of exec has died: pid {process.pid} " in done.text
    assert "milestone_persist watch --agent exec starts it again" in done.text
    assert [row["alive"] for row in list_watchers(str(directory))] == [False]
    assert "attention: the watcher of exec has died, milestone_persist watch --agent exec starts it again" in (
        cli("status").text)
    team.update_agent_status("exec", "failed")
    assert "watcher" not in cli("doctor").text + cli("status").text  # it needs none
    assert "removed" in cli("doctor", "--fix").text and list_watchers(str(directory)) == []
    start()  # and another may begin
    assert [row["alive"] for row in list_watchers(str(directory))] == [True]
