"""Many shells at once, and calls killed at any moment."""
from __future__ import annotations

import collections
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from conftest import ADAPTER, ROOT, SHELLS, share, size

SHELLS_AT_ONCE = 16
ROUNDS = size(2, 25)  # at full size these are 1600 calls

# Each shell sends to its neighbour and takes from an inbox that all share as well as from its own.
BEGIN = """set -eu; . "$ADAPTER"; register_agent "agent-$1" validation ms-1 execution-1 >/dev/null"""
WORK = """set -eu; . "$ADAPTER"; me=$1; neighbour=$2; rounds=$3; round=0
while [ "$round" -lt "$rounds" ]; do
  round=$((round + 1))
  save_agent_state "agent-$me" "key-$round" "value $me $round"
  send_agent_message "agent-$me" "$4" progress_update "{\\"from\\": $me, \\"round\\": $round}" >/dev/null
  get_agent_messages "$4" true 2 >>"taken-$me"
done"""


def test_many_shells_at_once(tmp_path):
    """Every one registers, then saves, sends and takes ROUNDS times; half share one inbox, half use their neighbour's.

    Nothing is lost, nothing is delivered twice, and no call fails or waits in vain for the database.
    """
    shells = [name for name in ("bash", "zsh", "dash", "ksh") if shutil.which(name)]
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MILESTONE_BACKEND": "hybrid",
                 "MILESTONE_PYTHON": sys.executable, "ADAPTER": str(ADAPTER)}
    ends = []
    for script in BEGIN, WORK:  # who registers later puts back what others have taken from its inbox
        processes = []
        for me in range(SHELLS_AT_ONCE):
            inbox = "shared" if me % 2 else f"agent-{(me + 2) % SHELLS_AT_ONCE}"
            words = [*SHELLS[shells[me % len(shells)]], "-c", script, "shell", str(me), "", str(ROUNDS), inbox]
            processes.append(subprocess.Popen(words, cwd=tmp_path, env=variables, stdout=subprocess.PIPE,
                                              stderr=subprocess.PIPE))
        ends += [(process.communicate(), process.returncode) for process in processes]
    for (out, err), status in ends:
        complaints = [line for line in err.decode().splitlines() if "warning: no agent" not in line
                      and "was heard from" not in line and ": this acknowledged what " not in line
                      and "made the data directory" not in line]
        assert (status, out, complaints) == (0, b"", [])
    connection = sqlite3.connect(tmp_path / ".milestones" / "coordination.db")
    try:
        check_nothing_is_lost(connection, tmp_path)
    finally:
        connection.close()


def check_nothing_is_lost(connection, tmp_path):
    total = SHELLS_AT_ONCE * ROUNDS
    taken = collections.Counter()
    for path in tmp_path.glob("taken-*"):
        for line in path.read_text().splitlines():
            taken.update(message["id"] for message in json.loads(line))
    sent = {number for number, in connection.execute("SELECT id FROM agent_messages")}
    left = {number for number, in connection.execute("SELECT id FROM agent_messages WHERE delivered_at IS NULL")}
    assert len(sent) == total
    assert max(taken.values()) == 1, "delivered twice"
    assert set(taken) == sent - left and not set(taken) & left
    payloads = {(entry["from"], entry["round"]) for entry in
                (json.loads(text) for text, in connection.execute("SELECT payload FROM agent_messages"))}
    everything = {(me, number) for me in range(SHELLS_AT_ONCE) for number in range(1, ROUNDS + 1)}
    assert payloads == everything
    saved = set(connection.execute("SELECT agent_id, state_key, state_value FROM agent_state"))
    assert saved == {(f"agent-{me}", f"key-{number}", f"value {me} {number}") for me, number in everything}
    assert connection.execute("SELECT agent_count FROM coordination_sessions").fetchone()[0] >= SHELLS_AT_ONCE
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


KILLED_AT = "openat,write,pwrite64,fsync,fdatasync,ftruncate,unlink,rename,close,exit_group"
CALLS = [
    ["save-agent-state", "a", "k", "after " + "x" * 20_000], ["get-agent-messages", "c", "true"],
    ["register-agent", "new", "validation", "m", "execution-new"], ["create-agent-checkpoint", "a"],
]


@pytest.mark.parametrize("call", CALLS, ids=[call[0] for call in CALLS])
def test_a_call_killed_at_any_moment(tmp_path, need, call):
    """kill -9 at each system call that opens, writes or closes something, from the opening of the database on.

    Each call is killed at every moment at full size, else at every fourth, and each at others.
    """
    strace, template = need("strace"), tmp_path / "template"
    surroundings = {"PATH": os.environ["PATH"], "MILESTONE_BACKEND": "hybrid", "MILESTONE_NOW": "2026-01-01 00:00:00"}
    words = [sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py"]

    def run(directory, *given, tracer=()):
        return subprocess.run([*tracer, *words, "--dir", directory, *given], env=surroundings, capture_output=True,
                              check=False).returncode

    for setup in (["register-agent", "a", "validation", "m", "execution-1"], ["save-agent-state", "a", "k", "before"],
                  ["register-agent", "c", "validation", "m", "execution-1"],
                  ["send-agent-message", "a", "c", "error_report", '{"n": 1}']):
        assert run(template, *setup) == 0
    traced, killed, log = tmp_path / "traced", tmp_path / "killed", tmp_path / "log"
    shutil.copytree(template, traced)
    assert run(traced, *call, tracer=[strace, "-qq", "-o", log, "-e", f"trace={KILLED_AT}"]) == 0
    before, after, outcomes = rows(template), rows(traced), []
    for name, number in share(moments(log.read_text(errors="replace")), CALLS.index(call), len(CALLS)):
        shutil.copytree(template, killed)
        status = run(killed, *call, tracer=[strace, "-qq", "-o", "/dev/null", "-e", f"trace={KILLED_AT}", "-e",
                                            f"inject={name}:signal=KILL:when={number}"])
        outcomes.append(rows(killed))
        assert status == -signal.SIGKILL or (status, outcomes[-1]) == (0, after), (name, number)  # one call less: done
        shutil.rmtree(killed)
    assert all(outcome in (before, after) for outcome in outcomes)
    assert before in outcomes and after in outcomes, "killed too early or too late to show anything"


def moments(log):
    """Each traced system call from the opening of the database on: its name, and the how manieth of that name it is."""
    counts, is_open = collections.Counter(), False
    for line in log.splitlines():
        name = line.partition("(")[0]
        counts[name] += 1
        is_open = is_open or "coordination.db" in line
        if is_open and name in KILLED_AT.split(","):
            yield name, counts[name]


def rows(directory):
    """All rows, but for checkpoints, whose ids are made again in each run: of these only how many there are."""
    connection = sqlite3.connect(directory / "coordination.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        lines = [line for line in connection.iterdump() if "cp-2026" not in line]
        return lines + connection.execute("SELECT count(*) FROM agent_checkpoints").fetchall()
    finally:
        connection.close()
