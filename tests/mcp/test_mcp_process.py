"""The server as a process of its own: its streams, its end, and whoever else uses the store meanwhile."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import ROOT
from mcp_wire import META, Wire, said

AGENT = {"agent_id": "a", "agent_type": "x-a", "milestone_id": "m", "session_id": "execution-m-1"}
PROGRAM = [sys.executable, "-I", "-S", str(ROOT / "milestone_persist" / "__main__.py")]


@pytest.fixture
def backend():
    return "hybrid"


class Process(Wire):
    """The server in a process, and the client's end of it."""

    def __init__(self, *words, cwd, env):
        self.cwd, self.env = cwd, env
        self.process = subprocess.Popen([*PROGRAM, "mcp", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd=cwd, env=env)
        super().__init__(self.process.stdin, self.process.stdout)

    def finish(self):
        """Its status and what it wrote on stderr, when it has ended by itself."""
        status, err = self.process.wait(60), self.process.stderr.read().decode()
        self.reader.join(60)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        return status, err


@pytest.fixture
def start(tmp_path, environ):
    """Starts a server in the test's directory."""
    begun = []

    def start(*words, **variables):
        begun.append(Process(*words, cwd=tmp_path, env={**environ, **variables}))
        return begun[-1]

    yield start
    for process in begun:
        if process.process.poll() is None:
            process.process.kill()
        if not process.process.stderr.closed:
            process.finish()


def test_it_serves_until_its_input_is_closed(start, program, tmp_path):
    server = start()
    assert server.ask("initialize", {"protocolVersion": "2025-06-18"})["protocolVersion"] == "2025-06-18"
    saved = server.call("save_agent_state", agent_id="a", state_key="k", value="v")
    assert str(tmp_path / ".milestones") in said(saved)[1]
    assert program("load-agent-state", "a", "k").text == "v"
    program("save-agent-state", "a", "k", "w")
    assert said(server.call("load_agent_state", agent_id="a", state_key="k")) == ["w"]
    server.close()
    assert server.read() is None
    assert server.finish() == (0, "")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_it_ends_at_a_signal_while_a_call_waits(start, name):
    server = start()
    server.call("register_agent", **AGENT)
    waiting = server.begin_call("get_agent_messages", agent_id="a", take=True, wait=45)
    assert server.ask("ping") == {}
    assert server.call("get_agent_messages", agent_id="a")["isError"] is False  # so the one before has begun
    server.process.send_signal(getattr(signal, name))
    answer = server.read()
    assert answer["id"] == waiting and answer["error"]["code"] == -32603 and server.read() is None
    assert server.finish() == (0, "")


def test_it_ends_when_nobody_reads(start, program):
    server = start()
    server.call("register_agent", **AGENT)
    server.call("send_agent_message", from_agent="a", to_agent="a", message_type="x-a", payload={})
    reading, writing = os.pipe()
    os.close(reading)
    call = {"name": "get_agent_messages", "arguments": {"agent_id": "a", "take": True}, "_meta": META}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode() + b"\n"
    done = subprocess.run([*PROGRAM, "mcp"], input=line, stdout=writing, stderr=subprocess.PIPE, cwd=server.cwd,
                          env=server.env, check=False, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(json.loads(program("get-agent-messages", "a").text)) == 1


def test_nothing_but_the_protocol_is_on_its_output(start, tmp_path):
    """Not what a command prints that it runs, and such a command finds nothing to read."""
    server = start("--tools", "all", MILESTONE_SPAWN_DIRS=str(tmp_path / ".milestones"))
    for kind, agent in (("milestone-coordinator", "c"), ("design-phase", "d")):
        server.call("register_agent", agent_id=agent, agent_type=kind, milestone_id="m", session_id="execution-m-1")
    server.call("set_storage_config", key="agent_spawn_command", value=f"cat; echo spawned; echo it >>'{tmp_path}/ran'")
    server.call("update_agent_status", agent_id="d", status="failed")
    resumed = server.call("resume_session_agents", session_id="execution-m-1")
    assert resumed["isError"] is False and (tmp_path / "ran").read_text() == "it\n"
    assert server.call("whoami")["isError"] is False
    server.close()
    assert server.read() is None
    assert server.finish()[0] == 0


def test_a_server_and_shells_that_take_at_once_share_the_messages(start, program):
    server = start()
    server.call("register_agent", **AGENT)
    for number in range(20):
        server.call("send_agent_message", from_agent="a", to_agent="a", message_type="x-a", payload={"n": number})
    taken = []

    def take():
        for _ in range(5):
            taken.extend(json.loads(program("get-agent-messages", "a", "true", "1", "--lease", "600").text))

    shell = threading.Thread(target=take)
    shell.start()
    mine = []
    while len(mine) < 15:
        found = server.call("get_agent_messages", agent_id="a", take=True, limit=1, lease=600)
        mine += found["structuredContent"]["result"]
        if not found["structuredContent"]["result"] and not shell.is_alive():
            break
    shell.join()
    assert sorted(row["payload"]["n"] for row in [*mine, *taken]) == [*range(20)]


@pytest.mark.optional
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")
def test_no_file_of_the_store_is_open_when_an_answer_is_there(start, tmp_path):
    server = start()
    for _ in range(3):
        server.call("register_agent", **AGENT)
        server.call("get_agent_messages", agent_id="a", take=True)
        server.call("load_agent_state", agent_id="a", state_key="none")
        folder = Path("/proc") / str(server.process.pid) / "fd"
        assert not [name for name in os.listdir(folder) if os.readlink(folder / name).startswith(str(tmp_path))]


def test_dir_names_the_store_for_all_calls(tmp_path, environ):
    lines = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "register_agent", "arguments": AGENT, "_meta": META}}).encode() + b"\n"
    done = subprocess.run([*PROGRAM, "--dir", "other", "--json", "mcp"], input=lines, capture_output=True, cwd=tmp_path,
                          env=environ, check=True, timeout=60)
    answer, = done.stdout.splitlines()
    assert "registered a" in said(json.loads(answer)["result"])[0] and done.stderr == b""
    assert (tmp_path / "other" / "coordination.db").exists() and not (tmp_path / ".milestones").exists()


def test_a_store_that_is_made_further_up_later_is_the_one_that_is_used(tmp_path, environ):
    inner = tmp_path / "inner"
    inner.mkdir()
    server = Process("--tools", "all", cwd=inner, env=environ)
    assert str(inner) in said(server.call("where"))[0]
    subprocess.run([*PROGRAM, "initialize_agent_coordination"], cwd=tmp_path, env=environ, check=True,
                   capture_output=True, timeout=60)
    server.call("save_agent_state", agent_id="a", state_key="k", value="v")
    assert not (inner / ".milestones").exists()
    server.close()
    assert server.finish() == (0, "")
