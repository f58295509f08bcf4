"""What the examples of the operations speak of, and what each needs before it."""
from __future__ import annotations

import os
import signal
import threading
import time

import pytest


@pytest.fixture
def scene(store, clock, tmp_path, monkeypatch):
    """What the examples speak of: their agents, sessions, messages, files and checkpoint."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("")
    monkeypatch.chdir(tmp_path)
    store.register_agent("exec-ms-123", "milestone-executor", "ms-123", "execution-ms-123-1")
    store.register_agent("valid-ms-123", "validation", "ms-123", "validation-ms-123-1")
    for agent, kind in (("coord-ms-123", "milestone-coordinator"), ("scope-ms-123", "scope-analyzer")):
        store.register_agent(agent, kind, "ms-123", "planning-ms-123-1")
    for _ in range(17):
        store.send_agent_message("coord-ms-123", "exec-ms-123", "task_assignment", {})
    store.save_agent_state("scope-ms-123", "planning-scope", "{\"files\": 12}")
    store.save_agent_state("coord-ms-123", "milestone-plan", '{"title": "Faster login"}')
    clock.seconds = 1769851800  # 2026-01-31 09:30:00
    monkeypatch.setattr(os, "urandom", lambda count: bytes.fromhex("1a2b3c4d"))
    store.create_agent_checkpoint("exec-ms-123")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    return store


def write_record(store):
    store.create_milestone_record("ms-123", "title: Login")


def read_mail(store):
    store.get_agent_messages("exec-ms-123", True)


def save_all(store):
    read_mail(store)
    for key in ("planning-estimates", "planning-risks", "planning-kiro"):
        store.save_agent_state("coord-ms-123", key, "some")
    for key in ("design-phase-results", "spec-1", "task-1", "execute-phase-results"):
        store.save_agent_state("exec-ms-123", key, '{"done": 1}')


def end_soon(store):
    """Ask a command that runs until a signal to end, once it has said what is to be done with one."""
    before = signal.getsignal(signal.SIGTERM)

    def wait():
        while signal.getsignal(signal.SIGTERM) is before:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


BEFORE = {  # what an example needs beside the scene
    "update_agent_status": read_mail,
    "read_milestone_record": write_record, "update_milestone_record": write_record,
    "delete_milestone_record": write_record, "search_milestones": write_record,
    "release_milestone_lock": lambda store: store.acquire_milestone_lock("ms-123", owner="exec-ms-123"),
    "validate_planning_artifacts": save_all, "finalize_milestone_execution": save_all,
    "restore_coordination": lambda store: store.backup_coordination("backup.db"),
    "import_coordination": lambda store: store.export_coordination("export.jsonl"),
    "stop_session_monitor": lambda store: store.start_session_monitor(300),
    "uninstall": lambda store: store.install("."),
    "dashboard": end_soon,
}
AFTER_A_SILENCE = ("recover_planning_session", "recover_execution_session")
