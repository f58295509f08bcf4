"""Which module may import which, and what one shell call loads."""
from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys

import pytest
from rooms import PACKAGE, find_arrows, find_back, find_circle, read_imports, read_rooms, room_of

ROOMS, IMPORTS = read_rooms(), read_imports()


def test_every_module_is_in_a_room_and_every_room_has_modules():
    homes = {name: room_of(name, ROOMS) for name in IMPORTS}
    assert None not in homes.values() and set(homes.values()) == set(ROOMS)


def test_a_room_imports_only_rooms_that_stand_above_it():
    assert find_back(find_arrows(IMPORTS, ROOMS), ROOMS) == []


def test_no_two_modules_import_each_other():
    assert find_circle(IMPORTS) == []


def test_only_the_registry_and_the_public_names_import_what_no_source_names():
    assert {name: len(found.unknown) for name, found in IMPORTS.items() if found.unknown} == {"": 1, "registry": 1}


@pytest.mark.parametrize("line", [
    "from ..operations import state", "def f():\n    from ..operations.state import save_agent_state",
    "import milestone_persist.operations.state", "__import__('milestone_persist.operations.state')",
    "from importlib import import_module\nimport_module('milestone_persist.operations.state')"])
def test_an_import_turned_round_is_found(tmp_path, line):
    package = tmp_path / "milestone_persist"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / "storage" / "interface.py"
    module.write_text(module.read_text() + f"\n{line}\n")
    back = find_back(find_arrows(read_imports(package), ROOMS), ROOMS)
    assert [text.partition(":")[0] for text in back] == ["storage.interface"]


def users_of(pattern):
    """The modules whose text has such a call."""
    return {name for name in IMPORTS for path in [PACKAGE.joinpath(*name.split("."))]
            for file in (path.with_suffix(".py"), path / "__init__.py")
            if file.is_file() and re.search(pattern, file.read_text(encoding="utf-8"))}


def test_there_is_one_mechanism_for_each_thing():
    """A file is written whole in the ways that docs/architecture.md lists; what else renames has another reason."""
    moves = {"records.undo", "monitor.files"}  # takes back what was written, puts a full log aside
    assert users_of(r"\bos\.(replace|rename|link)\b") == moves | {
        "storage.files", "storage.jsonfiles.journal", "vendor.replace", "install.file_changes"}
    assert users_of(r"open\(.*\"[wax]b?\"") == {
        "vendor.replace", "install.file_changes", "moving.export_file"}  # the last into a NewFile
    assert users_of(r"\b(flock|lockf)\(") == {"storage.locks"}


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
ALLOWED = dict.fromkeys(("hybrid", "file"), "__future__, gc, os, sys, time, json, sqlite3, fcntl")


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
    assert "_sqlite3" in loaded
    assert loaded - allowed_on(backend) == set()


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("name", ["json", "sqlite3", "types", "os", "errors", "typing", "milestone_persist", "time"])
def test_a_stray_module_in_the_current_directory_is_not_imported(program, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('imported the stray one')")
    done = program("save-agent-state", "a", "k", "v")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("name", ["sqlite3", "errors", "time"])  # what python -m has not yet imported by itself
def test_a_stray_module_in_the_current_directory_is_not_imported_by_python_m(run, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('imported the stray one')")
    done = run([sys.executable, "-m", "milestone_persist", "save-agent-state", "a", "k", "v"],
               PYTHONPATH=str(PACKAGE.parent))
    assert (done.status, done.err) == (0, "")
