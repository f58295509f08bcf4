"""How the program finds its own modules: byte code is taken only where Python would take it, all else is Python's."""
from __future__ import annotations

import marshal
import os
import py_compile
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from interpreters import find_interpreters

from milestone_persist.preloaded import PRELOADED

ASK = ["show_recovery_help", "--json"]
SAYS = "__import__('os').write(1, b'changed\\n')\n"  # a module that was changed so is told by its first call


@pytest.fixture
def program(tmp_path):
    """A copy of the package, with its byte code."""
    no_code = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "milestone_persist", tmp_path / "milestone_persist", ignore=no_code)
    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    call(tmp_path, *ASK)
    return tmp_path


def call(home, *words, options=("-I", "-S"), **environ):
    done = subprocess.run([sys.executable, *options, "-v", home / "milestone_persist", *words], text=True,
                          capture_output=True, check=False, env={**os.environ, **environ})
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def keepers(done):
    """Which modules of the package Python has found itself, by its own account."""
    return {line.split("'")[1] for line in done.stderr.splitlines()
            if line.startswith("import 'milestone_persist") and "modules.Loader" not in line}


def pyc(home, name):
    folder, _, tail = f"milestone_persist/{name}".rpartition("/")
    return home / folder / "__pycache__" / f"{tail}.{sys.implementation.cache_tag}.pyc"


def test_all_modules_are_found_so_but_those_that_stand_before(program):
    assert keepers(call(program, *ASK)) <= {"milestone_persist", "milestone_persist.modules"}


def test_source_that_was_changed_is_compiled(program):
    path = program / "milestone_persist" / "base" / "__init__.py"
    before = call(program, "--version").stdout
    path.write_text(path.read_text(encoding="utf-8").replace("0.", "7.", 1), encoding="utf-8")
    after = call(program, "--version")
    assert after.stdout == before.replace("0.", "7.", 1) and "milestone_persist.base" in keepers(after)
    assert "milestone_persist.base" not in keepers(call(program, "--version"))


def test_source_of_another_time_and_the_same_size_is_compiled(program):
    path = program / "milestone_persist" / "base" / "__init__.py"
    os.utime(path, (1, 1))
    assert "milestone_persist.base" in keepers(call(program, "--version"))


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b""),
                                   lambda path: path.write_bytes(b"\0" * 16 + path.read_bytes()[16:])],
                         ids=["missing", "empty", "of another Python"])
def test_byte_code_that_does_not_count_is_made_again(program, spoil):
    path = pyc(program, "running")
    call(program, "whoami")
    whole = path.read_bytes()
    spoil(path)
    assert "milestone_persist.running" in keepers(call(program, "whoami"))
    made = path.read_bytes()
    assert made[:16] == whole[:16] and marshal.loads(made[16:]) == marshal.loads(whole[16:])


def compile_by_content(home):
    py_compile.compile(str(home / "milestone_persist" / "running.py"), str(pyc(home, "running")),
                       invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


def test_byte_code_that_names_the_hash_of_its_source_counts_while_that_is_its_hash(program):
    compile_by_content(program)
    os.utime(program / "milestone_persist" / "running.py", (1, 1))
    assert "milestone_persist.running" not in keepers(call(program, "whoami"))
    path = program / "milestone_persist" / "running.py"
    path.write_text(path.read_text(encoding="utf-8") + SAYS, encoding="utf-8")
    done = call(program, "whoami")
    assert done.stdout.startswith("changed\n") and "milestone_persist.running" in keepers(done)


def test_python_checks_hashes_as_it_is_told(program):
    compile_by_content(program)
    assert "milestone_persist.running" in keepers(call(program, "whoami", options=(
        "-I", "-S", "--check-hash-based-pycs", "always")))


HEARTBEAT = ["--from-shell", "--dir", "data", "agent_heartbeat", "a"]


def test_what_a_call_from_a_shell_needs_is_loaded_at_once(program, monkeypatch):
    """In an order in which none needs a later one, to the end of the list; Python's account has none of them."""
    monkeypatch.chdir(program)
    call(program, *HEARTBEAT)
    done = call(program, *HEARTBEAT)
    imported = {line.split("'")[1] for line in done.stderr.splitlines() if line.startswith("import 'milestone_persist")}
    loaded = {"milestone_persist." + path.replace("/__init__", "").replace("/", ".") for path in PRELOADED}
    assert len(loaded) > 20 and imported & loaded == set()
    assert imported >= {"milestone_persist.operations.agents"}


@pytest.mark.parametrize("name", ["running", "base/found", "storage/sqlite/store", "preloaded"])
def test_source_that_was_changed_is_compiled_where_it_is_loaded_at_once(program, monkeypatch, name):
    monkeypatch.chdir(program)
    call(program, *HEARTBEAT)
    path = program / "milestone_persist" / f"{name}.py"
    path.write_text(path.read_text(encoding="utf-8") + SAYS, encoding="utf-8")
    assert call(program, *HEARTBEAT).stdout == "changed\n" == call(program, *HEARTBEAT).stdout


@pytest.mark.parametrize("name, text, status, said", [
    ("running", "raise ValueError('spoilt')", 3, "internal error: ValueError: spoilt; MILESTONE_DEBUG=1 shows where"),
    ("preloaded", "PRELOADED = ('no/such', 'cli', 'running')", 0, "")])
def test_what_cannot_be_loaded_at_once_is_left_to_its_import(program, monkeypatch, name, text, status, said):
    """Which tells of it in one line."""
    monkeypatch.chdir(program)
    call(program, *HEARTBEAT)
    (program / "milestone_persist" / f"{name}.py").write_text(text + "\n", encoding="utf-8")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-I", "-S", program / "milestone_persist", *HEARTBEAT], text=True,
                              capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (status, said and f"milestone_persist: {said}\n")


SPOILT = {"cut off": lambda data: data[:len(data) // 2], "of no bytes": lambda data: data[:16] + bytes(len(data) - 16),
          "no code": lambda data: data[:16] + marshal.dumps("text")}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_byte_code_that_is_spoilt_is_made_again(program, monkeypatch, spoil):
    """As Python leaves it when the disk is full, or the power fails: with a head that is right."""
    monkeypatch.chdir(program)
    for name in ("__init__", "modules", "preloaded", "base/__init__", "running", "operations/agents"):
        call(program, *HEARTBEAT)
        path = pyc(program, name)
        whole = path.read_bytes()
        path.write_bytes(spoil(whole))
        call(program, *HEARTBEAT)
        call(program, *HEARTBEAT)
        made = path.read_bytes()
        assert made[:16] == whole[:16] and marshal.loads(made[16:]) == marshal.loads(whole[16:]), name


def test_the_installed_command_makes_spoilt_byte_code_again(program):
    module = re.search('^milestone-persist = "(.+):run"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    for path in (pyc(program, "modules"), pyc(program, "cli/main")):
        path.write_bytes(SPOILT["cut off"](path.read_bytes()))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(program)!r})\n"
                           f"from {module} import run; run()", "--version"],
                          text=True, capture_output=True, check=False)
    assert done.stdout.startswith("milestone_persist ") and done.stderr == ""


def test_nothing_beside_the_program_hides_the_standard_library(program, monkeypatch):
    monkeypatch.chdir(program)
    for name in ("__future__", "json", "os", "re", "sqlite3", "types", "typing", "modules"):
        (program / f"{name}.py").write_text("raise SystemExit('a module of the user')\n", encoding="utf-8")
    for words in (["--from-shell", "--dir", "data", "save_agent_state", "a", "k", "1"], ["--dir", "data", "doctor"]):
        call(program, *words)
        call(program, *words, options=())


def test_the_program_is_found_through_links_of_any_name(program, monkeypatch):
    package = program / "milestone_persist"
    links = program / "links"
    links.mkdir()
    (links / "tool").symlink_to(package)
    (links / "start.py").symlink_to(package / "__main__.py")
    monkeypatch.chdir(package / "base")
    for path in (links / "tool", links / "tool" / "__main__.py", links / "start.py", "..", "../__main__.py", "..//"):
        done = subprocess.run([sys.executable, "-I", "-S", path, "--version"], text=True, capture_output=True,
                              check=False)
        assert done.stdout.startswith("milestone_persist ") and done.stderr == "", path


def test_a_copy_that_was_moved_needs_no_new_byte_code(program, tmp_path_factory):
    new = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.move(program, new)
    assert keepers(call(new, *ASK)) <= {"milestone_persist", "milestone_persist.modules"}


def test_optimised_byte_code_and_that_of_another_place_are_left_to_python(program, tmp_path):
    assert "milestone_persist.running" in keepers(call(program, "whoami", options=("-O", "-I", "-S")))
    assert "milestone_persist.running" in keepers(
        call(program, "whoami", options=("-I", "-S", "-X", f"pycache_prefix={tmp_path / 'kept'}")))


def test_a_module_that_is_not_there_is_missed_as_ever(program):
    (program / "milestone_persist" / "running.py").unlink()
    pyc(program, "running").unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-I", "-S", program / "milestone_persist", "whoami"], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 3 and "No module named 'milestone_persist.running'" in done.stderr


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8"])
def test_an_old_python_hands_a_call_as_a_module_over_to_a_newer_one(tmp_path, monkeypatch, version):
    python = find_interpreters().get(version) or pytest.skip(f"no Python {version} in pyenv")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for newer, status, said in (False, 3, f"milestone_persist: Python 3.9 or later is needed, this is {version}"), (
            True, 0, ""):
        if newer:
            (tmp_path / f"python3.{sys.version_info[1]}").symlink_to(sys.executable)
        done = subprocess.run([python, "-m", "milestone_persist", "--version"], text=True, capture_output=True,
                              check=False, env={**os.environ, "PATH": str(tmp_path)})
        assert done.returncode == status and done.stderr.startswith(said) and done.stderr.count("\n") == bool(status)
        assert done.stdout.startswith("milestone_persist") == newer
