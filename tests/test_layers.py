"""Which module may import which, and what one shell call loads."""
from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "milestone_persist"
LEAVES = {"errors", "values", "times", "vocabulary", "packaged", "location", "filenames", "tables",
          "shellwords"}
BACKENDS = {"storage.sqlite", "storage.embedded", "storage.files", "storage.psql", "storage.postgresql"}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "milestone_persist"


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports(name, lazy):
    """Our modules that a module imports when it is loaded or, with `lazy`, ever; not those for type checkers only."""
    found, path = set(), MODULES[name]
    home = path.parent.relative_to(PACKAGE).parts

    def visit(node):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            return
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*home[:len(home) - node.level + 1], *(node.module or "").split("."))
            base = tuple(part for part in base if part)
            for alias in node.names:
                inner = ".".join((*base, alias.name))
                found.add(inner if inner in MODULES else ".".join(base) or "milestone_persist")
        if lazy or not isinstance(node, ast.FunctionDef):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found - {"milestone_persist"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_one_way(name):
    ever, loaded = imports(name, lazy=True), imports(name, lazy=False)
    if name in LEAVES:
        assert ever <= LEAVES
    elif name.startswith("storage"):
        assert not {other for other in ever if not other.startswith("storage")} - LEAVES
    elif name.startswith("operations."):
        assert not loaded & {"cli", "entry", "api", "adapter", "__main__"}
        assert not ever & BACKENDS
    else:
        assert not loaded & BACKENDS
        assert name in ("__main__", "entry") or "cli" not in loaded


def test_no_two_modules_import_each_other():
    graph = {name: imports(name, lazy=False) for name in MODULES}
    while graph:
        ready = {name for name, needed in graph.items() if not needed & set(graph)}
        assert ready, f"these import each other: {sorted(graph)}"
        graph = {name: needed for name, needed in graph.items() if name not in ready}


def loaded_by(*command, **environ):
    """Every module that a process imports which is none of ours."""
    done = subprocess.run([sys.executable, "-I", "-S", "-X", "importtime", *command], capture_output=True, text=True,
                          env=environ, check=False)
    assert done.returncode == 0, done
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return {name for name in names if not name.startswith("milestone_persist")}


FIRST_CALLS = [
    ["initialize_agent_coordination"], ["register_agent", "a", "validation", "m", "s", '["run"]'],
    ["save_agent_state", "a", "k", '{"a": 1}', "temp_data", "60"], ["get_agent_messages", "a", "true"],
]
LATER_CALLS = [
    *FIRST_CALLS, ["load_agent_state", "a", "k"], ["agent_heartbeat", "a"], ["update_agent_status", "a", "completed"],
    ["send_agent_message", "a", "b", "x-note", "{}"], ["get_session_status", "s"], ["log_milestone_event", "e"],
]
PLAIN = "__future__, os, sys, time, json, sqlite3"
ALLOWED = {"hybrid": PLAIN, "file": PLAIN + ", fcntl"}


@functools.lru_cache(None)
def allowed_on(backend):
    """Every module that is imported with those that may be, by a process that does nothing else."""
    return loaded_by("-c", "import " + ALLOWED[backend])


@pytest.mark.parametrize("backend", ALLOWED, indirect=True)
@pytest.mark.parametrize("words, made", [*((words, False) for words in FIRST_CALLS), *((w, True) for w in LATER_CALLS)],
                         ids=lambda value: value[0] if isinstance(value, list) else "made" if value else "fresh")
def test_one_shell_call_loads_no_more_than_it_may(connect, backend, environ, directory, words, made):
    if made:
        store = connect()
        for agent in ("a", "b"):
            store.register_agent(agent, "validation", "m", "s")
        store.save_agent_state("a", "k", "v")
    loaded = loaded_by(PACKAGE / "__main__.py", "--from-shell", *words, MILESTONE_DIR=str(directory), **environ)
    assert "sqlite3" in loaded
    assert loaded - allowed_on(backend) == set()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("name", ["json", "sqlite3", "types", "os", "errors", "typing", "milestone_persist", "time"])
def test_a_stray_module_in_the_current_directory_is_not_imported(program, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('imported the stray one')")
    done = program("save-agent-state", "a", "k", "v")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("name", ["sqlite3", "errors", "time"])  # what python -m has not yet imported by itself
def test_nor_with_python_m(run, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('imported the stray one')")
    done = run([sys.executable, "-m", "milestone_persist", "save-agent-state", "a", "k", "v"],
               PYTHONPATH=str(PACKAGE.parent))
    assert (done.status, done.err) == (0, "")
