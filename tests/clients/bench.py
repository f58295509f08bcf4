"""What a scenario works with: homes, projects and plays of a client, all in one folder that goes when the run ends."""
from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from clients import PROGRAMS
from model import Model

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT))
from milestone_persist.registry import find_operation  # noqa: E402

PATH = f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin"


class Played:
    """How a client's run ended: its status and output, and what the model saw of it."""

    def __init__(self, status, out, err, exchanges, preparing=0):
        self.status, self.out, self.err, self.exchanges, self._preparing = status, out, err, exchanges, preparing

    @property
    def first_request(self):
        """All that the client sent first."""
        return json.dumps(self.exchanges[0].body, ensure_ascii=False) if self.exchanges else ""

    def results(self, script="main"):
        """What each step of a script gave, in their order; a step may be sent again, and the last answer counts."""
        by_turn = {each.turn: each.results for each in self.exchanges if each.script == script and each.turn}
        return ["\n".join(result for result in by_turn[turn] if not result.startswith("TEXT "))
                for turn in sorted(by_turn)][self._preparing if script == "main" else 0:]

    def heard(self, script="main"):
        """The texts that the model was sent behind its own turns: what hooks say, among them."""
        return "\n".join(result[5:] for each in self.exchanges if each.script == script
                         for result in each.results if result.startswith("TEXT "))

    def __str__(self):
        lines = [f"status {self.status}"]
        for each in self.exchanges:
            lines += [f"--- {each.script}:{each.turn}", *(f"   => {result[:1500]}" for result in each.results),
                      *(f"   >> {call}" for call in each.calls or ["text"])]
        return "\n".join([*lines, f"out: {self.out[-2000:]}", f"err: {self.err[-2000:]}"])


class Bench:
    """Gives a scenario what it needs.

    folder: where all of it lies; not below /tmp, where Codex refuses to have its helpers
    """

    def __init__(self, folder):
        self.folder, self._numbers = folder, itertools.count(1)

    def _new(self, name):
        path = self.folder / f"{next(self._numbers):03}-{name}"
        path.mkdir(parents=True)
        return path

    def home(self, *clients):
        """A new home, in which each client has had its first run."""
        home = self._new("home")
        for client in clients:
            client.make_home(home)
        return home

    def project(self, name="project", files=("README.md",)):
        """A new git project with one commit."""
        project = self._new(name)
        for file in files:
            (project / file).write_text("# A project\n")
        git(project, "init", "-q", "-b", "main")
        git(project, "add", ".")
        git(project, "commit", "-q", "--allow-empty", "-m", "first")
        return project

    def install(self, project, home, *options):
        """Make a project ready for the clients that are found on PATH, as its user does."""
        return self.program(project, home, "install", *options)

    def program(self, cwd, home, *words, program=ROOT / "milestone_persist"):
        """Run our program, or a copy of it, by its path; its standard output. It must succeed."""
        done = subprocess.run([sys.executable, program, *words], cwd=cwd, text=True, check=False, capture_output=True,
                              env={"HOME": str(home), "PATH": PATH, "LANG": "C.UTF-8"})
        if done.returncode:
            raise RuntimeError(f"{words}: status {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def keys(self, project, home, agent="worker-ms-5-1"):
        """The keys of an agent in the store of a project, seen from outside the client."""
        if not (project / ".milestones").exists():
            return set()
        rows = json.loads(self.program(project, home, "list-agent-state", agent, "--json"))
        return {row["state_key"] for row in rows}

    def play(self, client, project, home, *steps, options=(), scripts=(), prompt="go", trusted=True, seconds=180,
             goes_on=False, **variables):
        """Run a client in a project against a model that does these steps; its standard input is closed.

        goes_on: whether it goes on with an earlier conversation, behind whose turns the steps begin
        """
        if trusted:
            client.trust(home, top_of(project))
        log = self._new(f"play-{client.name}")
        preparing = client.prepare(step.mcp for step in steps if step.mcp)
        with Model({"main": [*preparing, *steps], **dict(scripts)}, goes_on) as model:
            environ = {"PATH": PATH, "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8", "USER": "root",
                       "SHELL": "/bin/bash", **client.environ(model.url), **variables}
            words = ["sh", "-c", 'exec "$@" <&-', "sh", "timeout", "--kill-after=5", str(seconds),
                     *client.words(model.url, prompt, list(options))]
            done = subprocess.run(words, cwd=project, env=environ, capture_output=True, check=False)
        played = Played(done.returncode, done.stdout.decode("utf-8", "replace"),
                        done.stderr.decode("utf-8", "replace"), model.exchanges, len(preparing))
        (log / "played.txt").write_text(str(played))
        return played

    def run_client(self, client, cwd, home, *words):
        """Run another command of a client (its validator, its installer); status and all it says."""
        done = subprocess.run(["timeout", "--kill-after=5", "120", client.name, *words], cwd=cwd, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={"PATH": PATH, "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8",
                                   **client.environ("http://127.0.0.1:9")})
        said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.stdout.decode("utf-8", "replace"))
        (self._new(f"run-{client.name}") / "said.txt").write_text(f"{words}\nstatus {done.returncode}\n{said}")
        return done.returncode, said

    def kill(self, home):
        """Kill a client that runs in a home, and all it has started but our own program, as kill -9 does."""
        for place in Path("/proc").glob("[0-9]*"):
            try:
                is_meant = f"HOME={home}".encode() in (place / "environ").read_bytes().split(b"\0")
                if is_meant and b"milestone_persist" not in (place / "cmdline").read_bytes():
                    os.kill(int(place.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is another's
                continue

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def git(project, *words):
    """Run git in a project; what it prints."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(project), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words], cwd=project,
                          check=True, capture_output=True, text=True, env=environ).stdout


def top_of(folder):
    """The top of the git repository or worktree that a folder lies in; the folder itself without one."""
    return next((path for path in (folder, *folder.parents) if (path / ".git").exists()), folder)


def as_arguments(name, words):
    """The arguments of an operation's MCP tool, by name, for the words of its shell function."""
    def fit(parameter, word):
        takes_object = any(kind.startswith("Mapping[") for kind in parameter.types)
        return json.loads(word) if takes_object or word in ("true", "false") else word

    return {parameter.name: fit(parameter, word) for parameter, word in zip(find_operation(name).positionals, words)}
