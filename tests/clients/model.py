"""A model server that thinks nothing: it plays scripts to real agent clients, and keeps what they send.

It speaks Anthropic Messages, OpenAI Responses (with Codex' code mode too) and Gemini, streamed and not. A script is a
list of steps; the step that is played is the number of the model's turns that the request holds already. So the server
keeps no state of a conversation, and any number of them, sub-agents too, can talk to it at once.
"""
from __future__ import annotations

import gzip
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler

import wire
from serving import Serving

SHELLS = ("Bash", "bash", "exec_command", "shell_command", "shell", "run_shell_command")


class Step:
    """One turn of the model: text, a shell command, or a tool by its name and input.

    mcp: an operation of our MCP server, by its own name
    before: called when the step is played, before the answer: what happens elsewhere meanwhile
    beside: more steps, whose calls are made in the same turn
    """

    def __init__(self, text="", sh="", tool="", mcp="", given=None, before=None, beside=()):
        self.text, self.sh, self.tool, self.mcp = text, sh, tool, mcp
        self.given, self.before, self.beside = given or {}, before, beside

    def as_call(self, tools):
        """The tool and its input for a client that offers these tools; None if the step is text, or it has no such."""
        if self.text:
            return None
        name = next((name for name in tools if self._is_meant(name)), None)
        if name is None and "exec" in tools:  # Codex' code mode: a program that calls tools
            return "exec", {"": self._as_code()}
        return name and (name, self._input(name))

    def _is_meant(self, name):
        if self.sh:
            return name in SHELLS
        if self.mcp:
            return re.fullmatch(r"(mcp_+)?(plugin_\w+?_)?milestone[_.]+" + self.mcp, name) is not None
        return name == self.tool

    def _input(self, name):
        if not self.sh:
            return self.given
        words = {"exec_command": {"cmd": self.sh}, "shell": {"command": ["bash", "-lc", self.sh]}}
        return {**words.get(name, {"command": self.sh, "description": "a step"}), **self.given}

    def _as_code(self):
        if self.mcp:
            return ("const name = Object.keys(tools).find(n => /milestone_+" + self.mcp + "$/.test(n));\n"
                    f"text(name ? JSON.stringify(await tools[name]({json.dumps(self.given)})) : 'no such tool');")
        words = json.dumps({"cmd": self.sh, "yield_time_ms": 20000, **self.given})
        return (f"const r = await tools.exec_command({words});\n"
                "text('exit ' + r.exit_code + (r.session_id ? ' session ' + r.session_id : '') + '\\n' + r.output);")


class Exchange:
    """One request with tools: the script and step played, the results of the calls before, and what was answered."""

    def __init__(self, script, turn, results, calls, body):
        self.script, self.turn, self.results, self.calls, self.body = script, turn, results, calls, body


class Model(Serving):
    """The server that plays the model.

    scripts: lists of steps by name; the one named by the last [[SCRIPT:name]] of a conversation is played, else `main`
    goes_on: whether the conversation has turns of another model, behind which `main` begins
    """

    def __init__(self, scripts, goes_on=False):
        self.scripts, self.exchanges, self._lock, self._number = scripts, [], threading.Lock(), 0
        self._before = None if goes_on else 0
        super().__init__(_Handler, model=self)

    def answer(self, api, body):
        """The texts and calls with which a request is answered, and its number."""
        said = wire.READ[api](body)
        with self._lock:
            self._number += 1
            number = int(time.time()) % 100000 * 1000 + self._number
        if not said.tools:  # a title, a choice of model: what clients ask beside the conversation
            return number, [wire.aside(api, body)], []
        names = re.findall(r"\[\[SCRIPT:([\w-]+)\]\]", said.user)
        script = names[-1] if names else "main"
        steps, turn = self.scripts.get(script, []), said.turns
        if script == "main":
            self._before = turn if self._before is None else self._before
            turn -= self._before
        step = steps[turn] if turn < len(steps) else Step(text=f"the script {script} is over")
        if step.before:
            step.before()
        calls = [call for each in (step, *step.beside) if (call := each.as_call(said.tools))]
        with self._lock:
            self.exchanges.append(Exchange(script, turn, said.results, calls, body))
        text = step.text if step.text or calls else f"(no tool for this step among {said.tools})"
        return number, [text] if text else [], calls


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def log_message(self, *words):
        pass

    def do_HEAD(self):
        self._send_json({})

    def do_GET(self):
        self._send_json({"object": "list", "data": [], "models": [], "has_more": False})

    def do_POST(self):
        body = self._read()
        api = wire.api_of(self.path)
        if body is None or api is None:
            return self._send_json({"input_tokens": 1000, "totalTokens": 1000})
        number, texts, calls = self.model.answer(api, body)
        whole, events = wire.WRITE[api](body, number, texts, calls)
        if not wire.is_streamed(self.path, body):
            return self._send_json(whole)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for event in events:
                kind = f"event: {event['type']}\n" if "type" in event else ""
                self.wfile.write(f"{kind}data: {json.dumps(event)}\n\n".encode())
        except OSError:  # the client went away
            pass

    def _read(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raw = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        try:
            return json.loads(raw)
        except ValueError:
            return None

    def _send_json(self, data):
        raw = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
