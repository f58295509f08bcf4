"""Calls in Codex' shell, which returns after 10 s and leaves a longer call behind: nobody reads what that says."""
from __future__ import annotations

import sqlite3

import pytest

from milestone_persist import running
from milestone_persist.storage.sqlite import embedded


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
def test_a_call_gives_up_on_a_busy_store_while_it_is_still_read(cli, directory, monkeypatch):
    cli("register_agent", "a", "validation", "m", "s")
    cli("send_agent_message", "b", "a", "progress_update", "{}")
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 3600.0)
    monkeypatch.setattr(running, "CODEX_SECONDS", 0.0)
    other = sqlite3.connect(directory / "coordination.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for words in (["save_agent_state", "a", "k", "v"], ["get_agent_messages", "a", "true"]):
        done = cli(*words, CODEX_CI="1")
        assert (done.status, done.text) == (3, "")
        assert "has been writing for 0 s" in done.err and done.err.endswith("; try again\n")
    other.close()
    assert cli("get_agent_messages", "a", "true", CODEX_CI="1").text.count('"from_agent":"b"') == 1
