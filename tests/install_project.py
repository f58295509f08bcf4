"""A project that tests install into: its files, and how commands are called in it."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from conftest import MADE, ROOT, SHELLS

PROGRAM = ROOT / "milestone_persist" / "__main__.py"
NAMES = ["storage-adapter.md", "storage-adapter.sh", "milestone-recovery.md"]
SHARED = ".claude/shared/milestone"
PLACES = [".claude/skills/milestone/_shared", ".claude/commands/milestone/_shared", SHARED, "skills/milestone/_shared"]
ADAPTER = f"{PLACES[0]}/storage-adapter.md"
SOURCED = [*(f"{PLACES[0]}/{name}" for name in NAMES), f"{PLACES[1]}/storage-adapter.md",
           f"{SHARED}/storage-adapter.sh", f"{PLACES[3]}/storage-adapter.md"]
PROMPT = "src/plan.md"
USE = "\nsave_agent_state a k 'it''s'\nload_agent_state a k"


class Done:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, MADE.sub("", done.stderr)

    def __repr__(self):
        return f"status {self.status}\nout: {self.out}\nerr: {self.err}"


@pytest.fixture
def project(tmp_path):
    """A git repository with a hostile name and some files of its own."""
    project = tmp_path / "it's \"quoted\" $HOME"
    (project / "src").mkdir(parents=True)
    (project / PROMPT).write_text("# Plan\n\n" + "".join(f"    . {path}\n" for path in SOURCED))
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
    return project


def git(project, *words):
    return subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def call(tmp_path, project):
    """Runs any command in the project, without what the tests themselves have in their environment."""
    def call(*command, cwd=project, **variables):
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MILESTONE_PYTHON": sys.executable, **variables}
        environ = {name: value for name, value in environ.items() if value is not None}
        return Done(subprocess.run([str(word) for word in command], cwd=cwd, env=environ, text=True, check=False,
                                   capture_output=True, stdin=subprocess.DEVNULL, timeout=300))

    return call


@pytest.fixture
def milestone(call):
    """Runs the program in the project: milestone("install", "--check")."""
    return lambda *words, program=PROGRAM, **options: call(sys.executable, "-I", "-S", program, *words, **options)


@pytest.fixture
def shell(call, need):
    def shell(name, text, **options):
        need(SHELLS[name][0])
        return call(*SHELLS[name], "-c", text, **options)

    return shell


def tree(folder):
    """Every path below a folder with what it is: mode, content and time of the last change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, state = str(path.relative_to(folder)), path.lstat()
        if name.split("/")[0] not in (".git", ".milestones") and "__pycache__" not in name:
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[name] = (state.st_mode, content, None if path.is_dir() else state.st_mtime_ns)
    return found


@pytest.fixture
def vendored(project):
    """The package inside of the project."""
    for folder in ("milestone_persist", "sql", "agents"):
        shutil.copytree(ROOT / folder, project / "tools" / "it's" / folder,
                        ignore=shutil.ignore_patterns("__pycache__"))
    return project / "tools" / "it's" / "milestone_persist" / "__main__.py"


def files(project):
    return {path for path, (_, content, _) in tree(project).items() if content is not None} - {PROMPT}
