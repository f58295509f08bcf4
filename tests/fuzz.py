"""Seeded fuzz of the surfaces: whatever comes in, status 0 to 3 and one line, never a traceback.

    python3 tests/fuzz.py [--seed N] [--count N] [cli|import|shell|mcp|html …]

A failure prints its seed and what was called. The same seed and count make the same calls.
"""
from __future__ import annotations

import argparse
import contextlib
import html.parser
import io
import json
import os
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ground import PROGRAM, HandMoved  # noqa: E402

from milestone_persist.base.values import show  # noqa: E402
from milestone_persist.cli.main import Console, main  # noqa: E402
from milestone_persist.mcp.tools import is_tool  # noqa: E402
from milestone_persist.opening.place import open_for  # noqa: E402
from milestone_persist.registry import all_operations  # noqa: E402
from milestone_persist.view.page import make_page  # noqa: E402
from milestone_persist.view.reading import read_session  # noqa: E402

# What starts processes, serves until it is ended, or writes where the data directory is not.
LEFT_OUT = {"install", "uninstall", "vendor", "generate", "start_session_monitor", "stop_session_monitor", "init",
            "mcp", "watch", "dashboard"}
ENDLESS = ("follow", "wait")  # options with which a call goes on
SHELLS = (["bash", "--norc"], ["zsh", "-f"], ["dash"])
SCRIPT = 200  # calls in one script: the next one is for the next shell
IDS = ["a", "b", "s", "m", "planning-m-1", "validation-m-1", "all", "*", "-", "--", "-x", "--agent", "", " ", ".", "..",
       "../x", "a/b", "/", "~", "$(touch ran)", "`touch ran`", "; touch ran", "'", '"', "a'b", "\\", "%s", "{}", "null",
       "CON", "é", "日本", "👩‍💻", "\u202e", "\x1b[2J", "\x9b", "\n", "a\nb", "\r", "\t", "\x00", "\udcff", "x" * 300,
       "x" * 5000, "1; DROP TABLE agent_state", "' OR 1=1 --", "--json", "--help", "help", "-1", "0", "1"]
NUMBERS = ["0", "1", "-1", "5", "10", "99", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
           "1" * 400, "1e400", "nan", "inf", "0x10", "1_000", "١", " 5", "5.5", "", "+1", "1e3"]
JSON = ["{}", "[]", '["x"]', '{"a": 1}', '{"a": {"b": [1, 2, {"c": null}]}}', "null", "1", '"x"', "{", '{"a": NaN}',
        "[" * 300, '{"a": 1e400}', '{"a": "\\ud800"}', '{"a": "\\u0000"}', '{"a": "\\u001b[2J"}', "\ufeff{}",
        '{"a": ' + "9" * 5000 + "}", json.dumps({"x": "y" * 20000}), '{"a": 1, "a": 2}', "{'a': 1}",
        "title: One\nstatus: active\n", "a: &a [*a]\n"]
WORDS = ["validation", "milestone-executor", "x-own", "scope-analyzer", "active", "completed", "failed", "paused",
         "true", "false", "progress_update", "error_report", "task_assignment", "user_data", "temp_data", "manual",
         "design", "healthy", "degraded", "hybrid", "file", "database", "session_timeout", "agent_spawn_command", "k",
         "k2", "2026-01-31 09:30:00.000", "file.json", "no/such/file", ".milestones/coordination.db"]
VARIABLES = {"AGENT_ID": IDS, "SESSION_ID": IDS, "MILESTONE_ID": IDS, "MILESTONE_NOW": [*NUMBERS, WORDS[-4]]}


# What ends an element, an attribute, a comment or a script, begins one, or is not shown.
MARKUP = ["<", ">", '"', "'", "&", "</script>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
          "<!--", "-->", "]]>", "</title>", "</style>", "</svg>", "<svg onload=alert(1)>", '" onmouseover="x',
          "' onclick='x", "&lt;", "&#60;", "&quot", "javascript:alert(1)", "`", "=", "/", "\\", "\\u003c",
          "<!doctype html>", "<plaintext>", "\u2028", "\u2029", "\ufeff", "\ufffe", "\U000e0001", "\x7f", "\x01",
          "\x0c", "x" * 70_000]
# The columns that a page shows, of tables in which a row of each is; all of them others may have written.
SHOWN = {"agent_registry": ("agent_type", "status", "current_task", "current_phase", "error_info"),
         "coordination_sessions": ("operation_type", "phase", "status", "coordinator_id", "progress"),
         "agent_messages": ("from_agent", "to_agent", "message_type", "payload", "priority", "retry_count"),
         "agent_state": ("state_key", "state_value", "state_type", "version"),
         "agent_checkpoints": ("checkpoint_id", "checkpoint_type", "state_snapshot", "file_references"),
         "events": ("event", "detail", "agent_id", "milestone_id"), "milestones": ("title", "status", "priority")}


class Failed(Exception):
    """A call did what none may do."""


class Fuzz:
    """Random calls on one store in a folder; `tried` counts them."""

    def __init__(self, seed, folder):
        self.random, self.folder, self.tried, self.clock = random.Random(seed), Path(folder), 0, HandMoved()
        self.operations = [op for op in all_operations() if op.name not in LEFT_OUT]
        self.environ = {"HOME": str(folder), "PATH": os.environ["PATH"],
                        "MILESTONE_DIR": str(self.folder / ".milestones")}

    def call(self, words, stdin=b"", **variables):
        """Run a command line; Failed unless it ends as it must."""
        self.tried += 1
        out, err = io.BytesIO(), io.BytesIO()
        try:
            status = main(list(words), Console(io.BytesIO(stdin), out, err, {**self.environ, **variables}, self.clock))
            self.said = err.getvalue().decode()
            self.judge(status, self.said)
        except Failed:
            raise
        except BaseException as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        return status

    def judge(self, status, err):
        """Failed unless the status is ours, and so is every line on standard error, without control characters."""
        lines = err.split("\n")
        if status not in (0, 1, 2, 3):
            raise Failed(f"status {status}")
        if lines.pop() or not all(line.startswith("milestone_persist: ") for line in lines) or "internal error" in err:
            raise Failed(f"standard error: {err[:500]!r}")
        if show(err.replace("\n", "")) != err.replace("\n", ""):
            raise Failed(f"control characters: {err[:500]!r}")
        said = [line for line in lines if "warning: " not in line]
        if status and not said:
            raise Failed(f"status {status}, and not a word")

    def pick(self, parameter):
        """A value that is likely to be taken, or anything at all."""
        name, draw = parameter.name, self.random.random()
        if draw < 0.3:
            return self.random.choice(self.random.choice((IDS, NUMBERS, JSON, WORDS)))
        if parameter.type in ("int", "float"):
            return self.random.choice(NUMBERS)
        if name.endswith(("_id", "_key", "agent", "session", "milestone", "owner")):
            return self.random.choice(IDS[:6]) if draw < 0.8 else self.random.choice(IDS)
        return self.random.choice(JSON if name in ("payload", "capabilities", "text", "value", "details") else WORDS)

    def make_words(self):
        op = self.random.choice(self.operations)
        words = [self.pick(each) for each in op.parameters if not each.option and (
            each.required or self.random.random() < 0.4)]
        for each in op.parameters:
            if each.option and each.name not in ENDLESS and self.random.random() < 0.3:
                at = self.random.randint(0, len(words))
                words[at:at] = [each.flag] if each.type == "bool" else [each.flag, self.pick(each)]
        if self.random.random() < 0.15:
            words.insert(self.random.randint(0, len(words)), self.random.choice(IDS))
        if self.random.random() < 0.15 and words:
            words.pop(self.random.randrange(len(words)))
        name = op.name if self.random.random() < 0.5 else op.name.replace("_", "-")
        return [name, *words, *(["--json"] if self.random.random() < 0.2 else [])]

    def try_cli(self, count):
        """Command lines, with and without variables that say who calls."""
        for _ in range(count):
            words = self.make_words()
            given = {name: self.random.choice(values) for name, values in VARIABLES.items()
                     if self.random.random() < 0.1}
            stdin = self.random.choice(JSON).encode("utf-8", "surrogatepass") if "-" in words else b""
            with self.telling(f"{words!r}, {given!r}"):
                self.call(words, stdin, **given)
        with self.telling("doctor at the end"):
            if self.call(["doctor"]) not in (0, 1):
                raise Failed(f"the store is unsound: {self.said}")

    def try_import(self, count):
        """Exports with something changed in them, imported in the place of everything."""
        source = self.folder / "export.jsonl"
        for words in (["register-agent", "a", "validation", "m", "s"], ["save-agent-state", "a", "k", "v"],
                      ["send-agent-message", "a", "a", "error_report", "{}"], ["create-agent-checkpoint", "a"],
                      ["create-milestone-record", "m", "title: One\n"], ["export-coordination", str(source)]):
            self.call(words)
        lines, target = source.read_bytes().splitlines(True), self.folder / "changed.jsonl"
        for number in range(count):
            changed = b"".join(self.change(lines))
            target.write_bytes(changed)
            with self.telling(f"import number {number}: {changed[:300]!r} …"):
                status = self.call(["import-coordination", str(target), "--replace"])
                if status == 0 and self.call(["doctor"]) != 0:
                    raise Failed(f"what was imported is unsound: {self.said}")

    def change(self, lines):
        lines = list(lines)
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randrange(len(lines)) if lines else 0
            kind = self.random.randrange(7)
            if not lines or kind == 0:
                lines.insert(at, self.random.choice([b"\n", b"{}\n", b"[]\n", b"\xff\n", b"\0\n", b"[" * 3000 + b"\n"]))
            elif kind == 1:
                del lines[at]
            elif kind == 2:
                lines.append(lines[at])
            elif kind == 3:
                spot = self.random.randrange(len(lines[at]))
                lines[at] = lines[at][:spot] + bytes([self.random.randrange(256)]) + lines[at][spot + 1:]
            elif kind == 4:
                lines[at] = lines[at][:self.random.randrange(len(lines[at]))]
            else:
                lines[at] = self.change_value(lines[at])
        return lines

    def change_value(self, line):
        """Another value in the row of a line."""
        try:
            data = json.loads(line)
            row = data.get("row", data)
            name = self.random.choice(sorted(row))
            row[name] = self.random.choice([None, 1, -1, 2 ** 63, 10 ** 40, 1.5, True, [], {}, *IDS, *JSON[:9]])
            return json.dumps(data).encode() + b"\n"
        except (ValueError, AttributeError, IndexError, RecursionError):
            return line

    def try_shell(self, count):
        """The functions in each shell: no value is run, expanded or taken for an option of the shell's."""
        self.operations = [op for op in self.operations if op.shell]
        shells = [shell for shell in SHELLS if shutil.which(shell[0])]
        most = min(SCRIPT, -(-count // len(shells)))
        for number, done in enumerate(range(0, count, most)):
            self.try_script(shells[number % len(shells)], min(most, count - done))

    def try_script(self, shell, count):
        """A script of calls in one shell."""
        script = [". \"$ADAPTER\""]
        calls = [self.make_words() for _ in range(count)]
        for number, words in enumerate(calls):
            words = [word for word in words if "\0" not in word and "\udcff" not in word]
            name = words[0].replace("-", "_")
            line = " ".join([name, *map(shlex.quote, words[1:])])
            script.append(f"{line} >out.{number} 2>err.{number} </dev/null; echo $? >status.{number}")
        self.tried += count
        with self.telling(f"{shell[0]}: " + "\n".join(script[1:])[:3000]):
            (self.folder / "script.sh").write_text("\n".join(script))
            done = subprocess.run([*shell, "script.sh"], cwd=self.folder, capture_output=True,
                                  check=False, timeout=60 + 5 * count,
                                  env={**self.environ, "ADAPTER": str(ROOT / "shell" / "storage-adapter.sh"),
                                       "MILESTONE_PYTHON": sys.executable})
            if done.stdout or done.stderr:
                raise Failed(f"the shell said: {done.stdout + done.stderr!r}")
        for number, words in enumerate(calls):
            status = self.folder / f"status.{number}"
            with self.telling(f"{shell[0]}: {words!r}"):
                self.judge(int(status.read_text()), (self.folder / f"err.{number}").read_text())
        if (self.folder / "ran").exists():
            raise Failed("a value was run by the shell")

    def make_request(self, number):
        """A line for the server: a call of a tool with arguments of any kind, or what is hardly a request."""
        op = self.random.choice(self.operations)
        values = [None, 1, -1, 2 ** 63, 10 ** 40, 1.5, True, [], {}, ["x"], {"a": 1}]
        given = {each.name: self.pick(each) if self.random.random() < 0.7 else self.random.choice(values)
                 for each in op.parameters
                 if each.name not in ENDLESS and (each.required or self.random.random() < 0.3)}
        request = {"jsonrpc": "2.0", "id": number, "method": "tools/call",
                   "params": {"name": op.name, "arguments": given}}
        draw = self.random.random()
        if draw < 0.2:
            where = self.random.choice([request, request["params"], given])
            where[self.random.choice([*where, *IDS])] = self.random.choice([*values, *IDS])
        elif draw < 0.3:
            request.update(method=self.random.choice(["ping", "tools/list", "resources/list", "resources/read", "x"]),
                           params=self.random.choice([{}, [], None, {"uri": self.random.choice(IDS)}]))
        line = json.dumps(request).encode()
        if draw > 0.95:
            at = self.random.randrange(len(line))
            line = line[:at] + bytes([self.random.randrange(256)]) + line[at + 1:]
        return line.replace(b"\n", b"").replace(b"\r", b"")

    def try_mcp(self, count):
        """Lines for the server: every line that it writes is an answer, and it ends with status 0."""
        self.operations = [op for op in self.operations if is_tool(op)]
        first = {"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "fuzz", "version": "1"}}}
        lines = [json.dumps(first).encode(), *(self.make_request(number) for number in range(count))]
        self.tried += count
        with self.telling(b"\n".join(lines).decode(errors="backslashreplace")[:20000]):
            done = subprocess.run([sys.executable, "-I", "-S", PROGRAM, "mcp", "--tools", "all"],
                                  input=b"\n".join(lines) + b"\n", cwd=self.folder, capture_output=True, check=False,
                                  timeout=60 + 5 * count, env=self.environ)
            self.judge(done.returncode, done.stderr.decode())
            answers = [json.loads(line) for line in done.stdout.splitlines()]
            wrong = [each for each in answers if not isinstance(each, dict) or each.get("jsonrpc") != "2.0"
                     or "Traceback" in json.dumps(each) or each.get("error", {}).get("code") == -32603
                     and "is ending" not in each["error"]["message"]]  # so is told what still waits then
            if done.returncode or wrong or not answers:
                raise Failed(f"status {done.returncode}, {len(answers)} answers, {wrong[:3]!r}, {done.stderr[:500]!r}")

    def make_text(self):
        pieces = [self.random.choice(self.random.choice((MARKUP, IDS, JSON))) for _ in range(self.random.randint(1, 4))]
        text = "".join(pieces).replace("\0", "").encode(errors="replace").decode()
        return json.dumps({text: [text]}) if self.random.random() < 0.2 else text

    def try_html(self, count):
        """Stored values in the page of a session: it has no element and no attribute that it has not anyhow."""
        for words in (["register-agent", "a", "validation", "m", "s"], ["register-agent", "b", "validation", "m", "s"],
                      ["send-agent-message", "a", "b", "x-note", "{}"], ["save-agent-state", "a", "k", "v"],
                      ["create-agent-checkpoint", "a"], ["save-agent-state", "a", "k", "w"],
                      ["create-agent-checkpoint", "a"], ["update-agent-status", "b", "failed"]):
            self.call(words)
        database, page = self.folder / ".milestones" / "coordination.db", self.folder / "page.html"
        usual = Structure(self.read_pages(page))
        filled = database.read_bytes()
        for _ in range(count):
            database.write_bytes(filled)
            with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
                connection.execute("PRAGMA ignore_check_constraints = ON")
                for _ in range(self.random.randint(1, 5)):
                    table = self.random.choice(list(SHOWN))
                    column, text = self.random.choice(SHOWN[table]), self.make_text()
                    with contextlib.suppress(sqlite3.IntegrityError):
                        connection.execute(f"UPDATE {table} SET {column} = ?", (text,))
            with self.telling(f"{table}.{column} = {text!r:.2000}"):
                usual.compare(Structure(self.read_pages(page)))

    def read_pages(self, path):
        """The page that is written, and the dashboard's; nothing where the rows are told to be corrupt."""
        path.unlink(missing_ok=True)
        if self.call(["report", "s", "--html", str(path)]):
            return ""
        storage = open_for(self.environ["MILESTONE_DIR"], self.environ, self.clock, create=False)
        try:
            return path.read_text() + make_page(read_session(storage, "s"), [{"session_id": "s", "status": self.said}])
        finally:
            storage.close()

    @contextlib.contextmanager
    def telling(self, what):
        """A failure within it says what was called."""
        try:
            yield
        except Failed as failure:
            raise Failed(f"{failure}\n  after {self.tried} calls: {what}") from failure


class Structure(html.parser.HTMLParser):
    """Which elements with which attributes a page has; its scripts, and what else would run or be loaded."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.scripts, self.others = set(), 0, set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add((tag, *sorted(name for name, _ in attrs)))
        self.scripts += tag == "script"
        self.others |= {f"{name}={value}" for name, value in attrs
                        if name in ("href", "src") and not (value or "").startswith("#") or name.startswith("on")}

    handle_startendtag = handle_starttag

    def handle_comment(self, data):
        self.others.add(f"comment {data[:50]}")

    def handle_pi(self, data):
        self.others.add(f"instruction {data[:50]}")

    def compare(self, other):
        """Failed where another page has something that this one has not."""
        more = other.elements - self.elements
        if more or other.scripts > self.scripts or other.others - self.others:
            raise Failed(f"the page has {sorted(more)[:5]}, {other.scripts} scripts, {sorted(other.others)[:5]}")


def fuzz(seed, surface, count):
    """Try one surface; how many inputs were tried. Failed names the seed."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            run = Fuzz(f"{seed} {surface}", folder)
            getattr(run, f"try_{surface}")(count)
        except Failed as failure:
            raise Failed(f"python3 tests/fuzz.py --seed {seed} --count {count} {surface}: {failure}") from None
        finally:
            os.chdir(before)
    return run.tried


SURFACES = ("cli", "import", "shell", "mcp", "html")


def run():
    """The command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 9))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("surfaces", nargs="*", choices=[*SURFACES, []])
    given = parser.parse_args()
    for surface in given.surfaces or SURFACES:
        print(f"seed {given.seed}, {surface}: {fuzz(given.seed, surface, given.count)} inputs tried", flush=True)


if __name__ == "__main__":
    try:
        run()
    except Failed as failed:
        sys.exit(str(failed))
