"""Sourcing the functions: nothing of the caller's changes, and program and Python are found from anywhere."""
from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys

import pytest
from building import copy_tree
from conftest import ADAPTER, MADE, ROOT
from interpreters import find_interpreters

WORKS = "\nsave_agent_state a k v; load_agent_state a k"


def old_python(version):
    """An interpreter older than 3.9, where pyenv keeps one."""
    return find_interpreters().get(version) or pytest.skip(f"no Python {version} in pyenv")


def make_executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(stat.S_IRWXU)
    return path


# What a shell tells of itself, before and after. Traps and directory are read in the shell itself, not in $( ).
DUMP = """
IFS=x; set -C; cd "$HOME/some place"; alias ll='ls -l'; alias quote=never; mine=1; trap 'echo bye' EXIT; umask 027
%s
dump() { set; set -o; alias; umask; pwd; trap; echo "$-"; }
dump >|"$HOME/before"; . "$ADAPTER"; echo $? >|"$HOME/status"; dump >|"$HOME/after"
"""


def test_nothing_of_the_caller_changes(sh, tmp_path):
    (tmp_path / "some place").mkdir()
    done = sh(DUMP % ("setopt posix_aliases" if sh.name == "zsh" else ""), source=False)
    assert (done.text, done.err) == ("bye\n", "")
    assert (tmp_path / "status").read_text() == "0\n"
    before, after = ((tmp_path / name).read_text(errors="replace").splitlines() for name in ("before", "after"))
    assert any(line.startswith("mine=") for line in before)
    assert comparable(after) == comparable(before)


def comparable(lines):
    """The lines but for what differs with every command, the functions, and the one option that is set in zsh."""
    moving = ("_", "BASH_ARG", "BASH_LINENO", "LINENO=", "RANDOM=", "SRANDOM=", "SECONDS=", "EPOCH", "TTYIDLE=",
              "PIPESTATUS=", "pipestatus=", "?=", "'?'=", "BASH_REMATCH", "bsdecho", "funcstack", "functrace",
              "funcsourcetrace", "funcfiletrace", ".sh.", "status=", "SHTTYIN")
    kept = [line for line in lines if not line.lstrip().startswith(moving)]
    return [line for line in kept if line.partition("=")[0].isidentifier() or not kept_by_bash(line)]


def kept_by_bash(line):
    """Bash's `set` prints functions as well."""
    return not line.strip() or line.startswith((" ", "{", "}")) or line.rstrip().endswith("()")


@pytest.mark.parametrize("options", ["-e", "-eu", "-C", "-f", "-a"])
def test_the_functions_work_under_any_option_of_the_shell(sh, options):
    done = sh(f"set {options}\n" + '. "$ADAPTER"' + WORKS, source=False)
    assert (done.status, done.text, done.err) == (0, "v", "")


@pytest.mark.parametrize("sh", ["bash", "zsh", "ksh", "busybox"], indirect=True)
def test_the_functions_work_under_pipefail(sh):
    assert sh("set -o pipefail" + WORKS).text == "v"


@pytest.mark.parametrize("sh", ["bash", "zsh", "ksh"], indirect=True)
def test_traps_for_errors_do_not_fire(sh, tmp_path):
    trap = "trap 'echo failed; exit 9' " + ("ZERR" if sh.name == "zsh" else "ERR")
    more = "; set -E" if sh.name == "bash" else ""
    shim = make_executable(tmp_path / "shims" / "python3", "#!/bin/sh\nexit 9\n")
    done = sh(f"{trap}{more}; PATH='{shim.parent}'\n" + '. "$ADAPTER"' + WORKS, source=False)
    assert (done.status, done.text, done.err) == (0, "v", "")


@pytest.mark.parametrize("sh", ["bash", "zsh"], indirect=True)
def test_a_trap_for_errors_fires_once_for_a_refused_call(sh):
    text = f"trap 'echo failed' {'ZERR' if sh.name == 'zsh' else 'ERR'}\n" + """. "$ADAPTER"
      long=$(head -c 100000 /dev/zero | tr "\\0" a)
      send_agent_message a b error_report "$long"; echo "status $?"; load_agent_state a k; echo "status $?" """
    done = sh(text, source=False)
    assert done.text == "failed\nstatus 2\nfailed\nstatus 1\n"
    assert done.err.count("\n") == 2


def test_tracing_shows_nothing_on_standard_output(sh):
    assert sh("set -x" + WORKS).text == "v"


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A copy of the program in a directory with a difficult name; returns its adapter."""
    place = tmp_path_factory.mktemp("moved") / "it's \"quoted\" $HOME"
    for folder in ("milestone_persist", "sql", "shell"):
        copy_tree(ROOT / folder, place / folder)
    return place / "shell" / ADAPTER.name


@pytest.mark.parametrize("how", ["function", "subshell", "link", "link to a link", "relative", "path",
                                 "twice", "CDPATH"])
def test_the_program_is_found_however_the_functions_are_sourced(sh, tmp_path, moved, how):
    first, second = tmp_path / "first link.sh", tmp_path / "second link.sh"
    first.symlink_to(moved)
    second.symlink_to(first.name)
    text = {
        "function": 'load() { . "$ADAPTER"; }; load',
        "subshell": '( . "$ADAPTER"\nload_agent_state a k d ); . "$ADAPTER"',
        "relative": 'cd "${ADAPTER%/*}"; . ./storage-adapter.sh; cd /; MILESTONE_DIR=$HOME/m',
        "twice": '. "$ADAPTER"; . "$ADAPTER"', "CDPATH": 'CDPATH=/tmp:/; export CDPATH; . "$ADAPTER"',
    }.get(how, '. "$ADAPTER"')
    given = {"link": first, "link to a link": second}.get(how, moved)
    done = sh(text + WORKS, source=False, ADAPTER=str(given))
    assert (done.status, done.text, done.err) == (0, "dv" if how == "subshell" else "v", "")


def test_a_file_elsewhere_is_not_mistaken_for_the_functions(sh, tmp_path):
    """Where the file itself cannot be asked for its name, an open file is not enough."""
    script = tmp_path / "caller.sh"
    script.write_text('. "$ADAPTER"' + WORKS)
    assert sh('. "$HOME/caller.sh"', source=False).text == "v"


def test_an_interactive_zsh_with_the_habits_of_its_user(need, run_shell, tmp_path):
    need("zsh")
    (tmp_path / ".zshrc").write_text(
        "setopt extended_glob glob_subst ksh_arrays rc_quotes no_unset warn_create_global no_clobber\n"
        "cd() { builtin cd -- \"$@\" && ls; }\necho() { print wrong; }\nls() { print wrong; }\n"
        "alias readlink=greadlink sed=gsed mkdir='mkdir -v' python=python2\nalias -g G='| grep'\n")
    done = subprocess.run(["zsh", "-i", "-c", '. "$ADAPTER"' + WORKS], capture_output=True, text=True, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ZDOTDIR": str(tmp_path),
                               "MILESTONE_PYTHON": sys.executable, "ADAPTER": str(ADAPTER)}, cwd=tmp_path)
    assert (done.returncode, done.stdout, MADE.sub("", done.stderr)) == (0, "v", "")


@pytest.mark.parametrize("sh, habit", [
    ("bash", "command() { echo mine; }; printf() { echo mine; }"), ("zsh", "command() { echo mine; }"),
    ("zsh", "printf() { echo mine; }"), ("dash", "alias command='echo mine'"), ("bash", "alias command='echo mine'"),
    ("bash", "unset PWD"), ("zsh", "unset PWD")], indirect=["sh"])
def test_what_a_user_has_made_of_commands_does_not_matter(sh, habit):
    expand = "shopt -s expand_aliases; " if sh.name == "bash" else ""
    done = sh(f'{expand}cd "${{ADAPTER%/*}}"\n{habit}\n. ./storage-adapter.sh\nMILESTONE_DIR=$HOME/m' + WORKS,
              source=False)
    assert (done.status, done.text, done.err) == (0, "v", "")


@pytest.mark.parametrize("body", ["echo mine", "return 1", ":", 'command NAME "$@"'])
def test_functions_with_the_names_of_builtins_do_not_matter(sh, body):
    """Of a user's own, whatever they do: sourcing them did not end, or found neither program nor Python."""
    names = "alias cd print python3 read readlink test true false mkdir"
    if "NAME" not in body and sh.name != "ksh":  # where a builtin cannot be had back
        names += " command printf"
    if sh.name in ("bash", "zsh"):  # the others refuse these
        names += " local" if "NAME" in body else " local [ set exec export trap builtin emulate"
    made = "".join(f"{name}() {{ {body.replace('NAME', name)}; }}\n" for name in names.split())
    done = sh(made + '. "$ADAPTER"' + WORKS, source=False)
    assert (done.status, done.text, done.err) == (0, "v", "")


def test_modules_in_the_current_directory_are_not_imported(sh, tmp_path):
    for name in ("json", "types", "sqlite3", "milestone_persist", "os", "datetime", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    done = sh("export PYTHONPATH=.; send_agent_message a a error_report '{}'; get_agent_messages a true >/dev/null")
    assert (done.status, done.text, done.err) == (0, "1\n", "")


def test_the_functions_work_without_HOME(sh):
    assert sh(WORKS, HOME=None).text == "v"


def test_the_first_real_python_on_PATH_is_used_and_shims_last(sh, tmp_path):
    make_executable(tmp_path / "shims" / "python3", "#!/bin/sh\nexit 99\n")
    make_executable(tmp_path / "bin" / "python3", f"#!/bin/sh\necho used >&2\nexec {sys.executable} \"$@\"\n")
    done = sh(WORKS, PATH=f"{tmp_path}/shims::.:{tmp_path}/bin:{os.environ['PATH']}", MILESTONE_PYTHON=None)
    assert (done.text, done.err) == ("v", "used\nused\n")


def test_a_shim_is_asked_once(sh, tmp_path):
    shim = make_executable(tmp_path / "shims" / "python3",
                           f"#!/bin/sh\necho asked >>\"$HOME/asked\"\nexec {sys.executable} \"$@\"\n")
    for _ in range(2):
        done = sh(f"PATH='{shim.parent}'\n" + '. "$ADAPTER"' + WORKS, source=False, MILESTONE_PYTHON=None,
                  XDG_CACHE_HOME=None)
        assert (done.status, done.text, done.err) == (0, "v", "")
    assert (tmp_path / "asked").read_text() == "asked\n"
    memory = tmp_path / ".cache" / "milestone_persist" / "python"
    assert os.path.samefile(memory.read_text().strip(), sys.executable)
    memory.write_text("/nowhere/python3\n")  # gone since: the shim is asked again
    done = sh(f"set -euC; PATH='{shim.parent}'\n" + '. "$ADAPTER"' + WORKS, source=False, MILESTONE_PYTHON=None)
    assert (done.status, done.text, done.err) == (0, "v", "")
    assert os.path.samefile(memory.read_text().strip(), sys.executable)
    assert (tmp_path / "asked").read_text() == "asked\nasked\n"


@pytest.mark.optional
@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8"])
def test_an_old_python_hands_over_to_a_newer_one(run_shell, tmp_path, version):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(old_python(version))
    make_executable(tmp_path / "shims" / "python3.13", "#!/bin/sh\necho no such version installed >&2; exit 127\n")
    alone = f"{tmp_path}/shims:{tmp_path}/bin"
    for value in ("v", "v" * 200_000):
        (tmp_path / "value").write_text(value)
        text = 'value=$(cat value); PATH=$ONLY; . "$ADAPTER"; save_agent_state a k "$value"; load_agent_state a k'
        done = run_shell("dash", text, source=False, MILESTONE_PYTHON=None, ONLY=alone)
        assert done.status == 3
        assert done.err.startswith(f"milestone_persist: Python 3.9 or later is needed, this is {version}")
        assert done.err.count("\n") == 2 if len(value) == 1 else done.err
        (tmp_path / "new").mkdir(exist_ok=True)
        named = tmp_path / "new" / f"python3.{sys.version_info[1]}"
        if not named.exists():
            make_executable(named, f"#!/bin/sh\nexec {sys.executable} \"$@\"\n")
        done = run_shell("dash", text, source=False, MILESTONE_PYTHON=None, ONLY=f"{alone}:new")
        assert done.status == 3, "a folder that is none from the root leads into whatever repository one has gone to"
        done = run_shell("dash", text, source=False, MILESTONE_PYTHON=None, ONLY=f"{alone}:{named.parent}")
        assert (done.status, done.text, done.err) == (0, value, "")


def test_without_any_python_the_functions_say_so(sh, tmp_path):
    (tmp_path / "printf").symlink_to(shutil.which("printf"))  # a program in mksh
    done = sh('PATH=$HOME; . "$ADAPTER"; load_agent_state a k', source=False, MILESTONE_PYTHON=None)
    assert (done.status, done.text, done.err.count("\n")) == (3, "", 1)
    assert done.err.startswith("milestone_persist: no Python found: set MILESTONE_PYTHON")
    assert "no Python found at /nowhere/python3" in sh("load_agent_state a k", MILESTONE_PYTHON="/nowhere/python3").err


@pytest.mark.parametrize("program", ["false", "true", "cat"])
def test_what_is_no_python_is_named(sh, need, program):
    done = sh("save_agent_state a k v", MILESTONE_PYTHON=need(program))
    assert (done.status, done.text, done.err) == (
        3, "", f"milestone_persist: {need(program)} is not a Python: set MILESTONE_PYTHON to one\n")


def test_a_python_of_another_name_is_one(sh, tmp_path):
    (tmp_path / "snake").symlink_to(sys.executable)
    assert sh("load_agent_state a k default", MILESTONE_PYTHON=str(tmp_path / "snake")).text == "default"


def test_where_the_program_is_gone_the_functions_say_so(sh, tmp_path):
    lost = shutil.copy(ADAPTER, tmp_path / "lost.sh")
    done = sh("load_agent_state a k", ADAPTER=str(lost))
    assert (done.status, done.text) == (3, "")
    assert "set MILESTONE_PROGRAM" in done.err and done.err.count("\n") == 1
    assert done.err.endswith(", or install again from where the program is now\n")
    program = str(ROOT / "milestone_persist" / "__main__.py")
    assert sh(WORKS, ADAPTER=str(lost), MILESTONE_PROGRAM=program).text == "v"


@pytest.mark.parametrize("shell, print_functions", [("bash", "declare -f"), ("zsh", "typeset -f"),
                                                    ("ksh", "typeset -f"), ("mksh", "typeset -f")])
def test_functions_alone_work_in_another_shell(run_shell, tmp_path, shell, print_functions):
    """The snapshot a coding agent takes of its user's shell holds functions, but not the file they came from."""
    snapshot = run_shell(shell, print_functions)
    (tmp_path / "snapshot.sh").write_bytes(snapshot.out)
    text = "set -eu; . ./snapshot.sh" + WORKS + "; save_agent_state a k \"$(head -c 300000 /dev/zero | tr '\\0' a)\""
    done = run_shell(shell, text + "; load_agent_state a k | wc -c", source=False)
    assert done.status == 0 and done.text.split() == ["v300000"], done
