"""A monitor that is none: what a stranger says in its files is shown as text, and asked to end it is nobody's error."""
from __future__ import annotations

import fcntl
import json

import pytest

from milestone_persist.monitor import process
from milestone_persist.monitor.files import LOCK, LOG

ESCAPE = "\x1b[2J\nnext: rm -rf ~"
SAID = [{"token": 5, "pid": ESCAPE, "host": ESCAPE, "seconds": ESCAPE, "started_at": ESCAPE}, {"token": {"a": 1}},
        {"token": "\ud800"}, {"token": "t", "pid": 10 ** 4000, "host": ["x"]}, {"token": None}, []]


@pytest.fixture
def made(store):
    store.save_agent_state("a", "k", "v")


@pytest.mark.parametrize("about", SAID, ids=lambda about: str(about)[:30])
def test_what_a_stranger_says_of_a_monitor_is_text(made, cli, directory, monkeypatch, about):
    monkeypatch.setattr(process, "STOP_TIMEOUT", 0)
    (directory / LOCK).write_text(json.dumps(about))
    with open(directory / LOCK) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for words in (["get-session-monitor-status"], ["start-session-monitor", "60"], ["doctor"],
                      ["get-session-monitor-status", "--json"], ["stop-session-monitor"]):
            done = cli(*words)
            assert done.status == 3 * words[0].startswith("stop") and "internal error" not in done.err, (words, done)
            assert "\x1b" not in done.text and "\nnext" not in done.text and len(done.text) < 1000, (words, done)


@pytest.mark.parametrize("line", [ESCAPE.replace("\n", " "), "\u202eevil", "next: rm -rf ~", "x" * 70_000])
def test_the_last_line_of_a_log_is_shown_as_one(made, cli, directory, line):
    (directory / LOG).parent.mkdir(exist_ok=True)
    (directory / LOG).write_text(line + "\n")
    lines = cli("get-session-monitor-status").text.splitlines()
    assert len(lines) == 2 and lines[1].startswith("last line of ") and lines[1].isprintable() and len(lines[1]) < 500
    assert json.loads(cli("get-session-monitor-status", "--json").text)["last_line"] == line[-65535:]
