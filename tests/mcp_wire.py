"""A client of the MCP server for the tests: what it sends and what it gets, a line each."""
from __future__ import annotations

import json
import os
import queue
import threading

import pytest

from milestone_persist.mcp.calling import Surroundings
from milestone_persist.mcp.server import Server
from milestone_persist.mcp.tools import choose_tools

PREFIX = "io.modelcontextprotocol/"
META = {PREFIX + "protocolVersion": "2026-07-28", PREFIX + "clientCapabilities": {}}
PATIENCE = 60  # seconds for an answer that must come


class Wire:
    """One end of a connection: `send` a message or raw bytes, `read` the next, `ask` and get the answer."""

    def __init__(self, target, source):
        self.target, self.source = target, source
        self.lines = queue.Queue()
        self.last = 0
        self.reader = threading.Thread(target=self.collect, daemon=True)
        self.reader.start()

    def collect(self):
        for line in self.source:
            self.lines.put(line)
        self.lines.put(b"")

    def send(self, message):
        self.target.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        self.target.flush()

    def read(self):
        """The next message; None at the end."""
        line = self.lines.get(timeout=PATIENCE)
        assert not line or line.endswith(b"\n") and line.count(b"\n") == 1
        return json.loads(line) if line else None

    def begin(self, method, params=None, request_id=None):
        """Send a request and do not wait; its id."""
        self.last += 1
        request_id = self.last if request_id is None else request_id
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method,
                   **({} if params is None else {"params": params})})
        return request_id

    def ask(self, method, params=None):
        """Send a request; the answer's result, or its error."""
        asked = self.begin(method, params)
        answer = self.read()
        assert answer["id"] == asked and answer["jsonrpc"] == "2.0"
        return answer.get("result") or answer.get("error") or {}

    def now(self, method, params=None):
        """`ask` as a client of 2026-07-28 does."""
        return self.ask(method, {**(params or {}), "_meta": META})

    def call(self, name, **arguments):
        """The result of a tool."""
        return self.now("tools/call", {"name": name, "arguments": arguments})

    def begin_call(self, name, **arguments):
        return self.begin("tools/call", {"name": name, "arguments": arguments, "_meta": META})

    def cancel(self, request_id):
        self.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}})

    def close(self):
        """Close the stream to the server, as a client does that is done."""
        self.target.close()


def said(result):
    """The texts of a result."""
    return [block["text"] for block in result["content"]]


class Served(Wire):
    """A server in this process, and the client's end of it."""

    def __init__(self, directory, environ, clock, tools="all", structured=False):
        there, self.here = os.pipe()
        back, answers = os.pipe()
        self.streams = [os.fdopen(there, "rb"), os.fdopen(answers, "wb", buffering=0)]
        surroundings = Surroundings(str(directory), environ, clock, structured)
        self.server = Server(*self.streams, choose_tools(tools), surroundings)
        self.thread = threading.Thread(target=self.run, daemon=True)
        super().__init__(os.fdopen(self.here, "wb"), os.fdopen(back, "rb"))
        self.thread.start()

    def run(self):
        self.server.serve()
        self.streams[1].close()

    def finish(self):
        """End the server, if it has not ended, and close all there is."""
        if not self.target.closed:
            self.close()
        self.thread.join(PATIENCE)
        self.reader.join(PATIENCE)
        self.source.close()
        self.streams[0].close()

    def end(self):
        """Close the stream, wait for the server's end, and give what it still sent."""
        if not self.target.closed:
            self.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        rest = []
        while True:
            message = self.read()
            if message is None:
                return rest
            rest.append(message)


@pytest.fixture
def serve(directory, environ, clock):
    """Starts a server on the test's store: serve(tools="core", structured=True, directory=…, environ=…, clock=…)."""
    begun = []

    def serve(**options):
        begun.append(Served(**{"directory": directory, "environ": environ, "clock": clock, **options}))
        return begun[-1]

    yield serve
    for served in begun:
        served.finish()


@pytest.fixture
def wire(serve):
    """A client of a server with all tools on the test's store."""
    return serve()
