"""The MCP server behind HTTP, for programs that test servers over HTTP only: each message goes to a process on stdio.

A client of an earlier revision gets a process of its own with `initialize`, by a session id; all others share one. What
HTTP adds to the protocol (status codes, sessions, headers that repeat the body) is done here, and is not under test.
"""
from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "io.modelcontextprotocol/"
STATUSES = {-32601: 404, -32602: 400, -32600: 400, -32700: 400, -32020: 400, -32022: 400}  # of the new revision


class Child:
    """A server process; whoever asks gets the answers to its own requests, whatever ids others use."""

    def __init__(self, command, cwd, env):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd, env=env)
        self.numbers, self.waiting, self.lock = itertools.count(1), {}, threading.Lock()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            about = message.get("id", message.get("params", {}).get("_meta", {}).get(PREFIX + "subscriptionId"))
            if about in self.waiting:
                self.waiting[about].put(message)

    def send(self, message):
        with self.lock:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def ask(self, message):
        """The messages that a request is answered with, the answer last; its id is put back in each."""
        number, answers = next(self.numbers), queue.Queue()
        self.waiting[number] = answers
        self.send({**message, "id": number})
        while True:
            answer = answers.get(timeout=60)
            if "id" not in answer:
                answer["params"]["_meta"][PREFIX + "subscriptionId"] = message["id"]
                yield answer
                continue
            del self.waiting[number]
            yield {**answer, "id": message["id"]}
            return

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.reader.join(60)
        self.process.stdout.close()


class Shim(ThreadingHTTPServer):
    """An HTTP server at 127.0.0.1, which starts `command` for its clients."""

    daemon_threads = True

    def __init__(self, command, cwd, env):
        super().__init__(("127.0.0.1", 0), Handler)
        self.start = lambda: Child(command, cwd, env)
        self.shared, self.sessions = self.start(), {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}/mcp"
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def finish(self):
        self.shutdown()
        self.server_close()
        for child in [self.shared, *self.sessions.values()]:
            child.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        meta = message.get("params", {}).get("_meta", {})
        named, header = meta.get(PREFIX + "protocolVersion"), self.headers.get("MCP-Protocol-Version")
        if named and header and named != header:
            error = {"code": -32020, "message": "Header mismatch"}
            return self.answer({"jsonrpc": "2.0", "id": message.get("id"), "error": error}, 400)
        if message.get("method") == "initialize" and not named:
            session = str(len(self.server.sessions) + 1)
            self.server.sessions[session] = self.server.start()
        session = session if message.get("method") == "initialize" and not named else self.headers.get("Mcp-Session-Id")
        child = self.server.sessions.get(session, self.server.shared)
        if "id" not in message:
            child.send(message)
            return self.answer(None, 202)
        if message["method"] == "subscriptions/listen":
            return self.stream(child.ask(message))
        answer, = child.ask(message)
        status = 200 if child is not self.server.shared else STATUSES.get(answer.get("error", {}).get("code"), 200)
        return self.answer(answer, status, session)

    def answer(self, message, status, session=None):
        data = b"" if message is None else json.dumps(message).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if session and message and "result" in message:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        self.wfile.write(data)

    def stream(self, messages):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for message in messages:
                self.wfile.write(b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n")
                self.wfile.flush()
        except (OSError, queue.Empty):
            pass

    def do_GET(self):
        self.answer(None, 405)

    def do_DELETE(self):
        self.answer(None, 405)
