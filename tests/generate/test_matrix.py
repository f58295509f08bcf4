"""In every shell, with the functions in every way, of the program in every form: the same rows."""
from __future__ import annotations

import functools
import io
import itertools
import json
import os
import re
import sqlite3
import subprocess
import sys
import zipfile

import pytest
from building import run
from conftest import ROOT, SHELLS, TABLES

from milestone_persist.cli.main import Console, main

PROGRAM = ROOT / "milestone_persist" / "__main__.py"
VALUE = "it's \"both\" $(touch pwned) `touch pwned` %s \\n é\n\t-\n"
CALLS = [["register_agent", "a", "milestone-planner", "ms-1", "planning-1", '["planning"]'],
         ["save_agent_state", "a", "-k", VALUE, "progress"],
         ["send_agent_message", "a", "b", "task_assignment", '{"phase": "design", "text": "a\\nb"}', "8"],
         ["get_agent_messages", "b", "true"]]
SURROUNDINGS = {"MILESTONE_NOW": "2026-01-31 09:30:00", "MILESTONE_BACKEND": "hybrid", "LC_ALL": "C.UTF-8"}
WAYS = {"sh": '. "$FUNCTIONS"', "md": '. "$FUNCTIONS"', "init": 'eval "$(cat "$FUNCTIONS")"',
        "executables": "PATH=$FUNCTIONS:$PATH"}


def make_checkout(request, place):
    return PROGRAM, ROOT / "shell"


def make_wheel(request, place):
    with zipfile.ZipFile(request.getfixturevalue("wheel")) as archive:
        archive.extractall(place / "site")
    return place / "site" / "milestone_persist" / "__main__.py", place / "site" / "milestone_persist" / "shell"


def make_vendored(request, place):
    run([sys.executable, PROGRAM, "vendor", place / "copy"], place)
    return place / "copy" / "milestone_persist" / "__main__.py", place / "copy" / "shell"


def make_zipapp(request, place):
    run([sys.executable, PROGRAM, "vendor", "--zipapp", place / "m.pyz"], place)
    return place / "m.pyz", None


FORMS = {"checkout": make_checkout, "wheel": make_wheel, "vendored": make_vendored, "zipapp": make_zipapp}


@pytest.fixture(scope="session")
def functions(request, work):
    """Where the functions of a form of the program are, for each way to have them; each form is made once."""
    @functools.lru_cache(None)
    def functions(form):
        place = work / "matrix" / form
        (place / "project").mkdir(parents=True)
        return make_functions(place, *FORMS[form](request, place))

    return functions


def make_functions(place, program, folder):
    source = place / "project" / "plan.md"
    source.write_text("source skills/storage-adapter.md\n. skills/storage-adapter.sh\n")
    start = [sys.executable, "-I", "-S", program]
    run([*start, "install", "--functions-only", place / "project", "--bin", place / "bin"], place)
    (place / "init").write_bytes(run([*start, "init", "sh"], place))
    installed = place / "project" / "skills"
    return {"sh": (folder or installed) / "storage-adapter.sh", "md": installed / "storage-adapter.md",
            "init": place / "init", "executables": place / "bin"}


@pytest.fixture(scope="session")
def expected(work):
    """What the calls print, and the rows they make, when they are made without any shell."""
    out, directory = io.BytesIO(), work / "matrix" / "expected"
    for name, *words in CALLS:
        console = Console(io.BytesIO(), out, io.BytesIO(), {**SURROUNDINGS, "MILESTONE_DIR": str(directory)})
        assert main(["--from-shell", name, *words], console) == 0
    assert len(read_rows(directory)["agent_state"]) == 1
    return out.getvalue().decode(), read_rows(directory)


def read_rows(directory):
    connection = sqlite3.connect(directory / "coordination.db")
    try:
        rows = {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}
        settings = [row[:3] for row in rows["agent_coordination_config"]]  # but not when they were made
        return {**rows, "agent_coordination_config": settings}
    finally:
        connection.close()


def quote(word):
    return "'" + word.replace("'", "'\\''") + "'"


def without_escapes(text):
    """The text with its JSON as it is in any shell: for some, the functions spell backslashes otherwise."""
    return [json.loads(line) if line.startswith("[") else line for line in text.splitlines()]


# Every two of a form, a way and a shell meet.
COMBINATIONS = [(form, way, shell) for (a, form), (b, way), (c, shell) in itertools.product(
    enumerate(FORMS), enumerate(WAYS), enumerate(SHELLS)) if (a + b + c) % 4 == 0]


@pytest.mark.parametrize("form, way, shell", COMBINATIONS)
def test_every_shell_way_and_form_makes_the_same_rows(functions, form, way, shell, expected, need, tmp_path):
    need(SHELLS[shell][0])
    text = "\n".join(["set -eu", WAYS[way], *(" ".join(map(quote, call)) for call in CALLS)])
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MILESTONE_PYTHON": sys.executable,
               "FUNCTIONS": str(functions(form)[way]), **SURROUNDINGS}
    done = subprocess.run([*SHELLS[shell], "-c", text], cwd=tmp_path, env=environ, capture_output=True,
                          encoding="utf-8", stdin=subprocess.DEVNULL, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert without_escapes(done.stdout) == without_escapes(expected[0])
    assert read_rows(tmp_path / ".milestones") == expected[1]
    assert not (tmp_path / "pwned").exists()


# What is meant: a text that says so where the quotes around it are missing, and a variable that only bash has.
EXPECTED = "SC2215,SC1113,SC2183,SC2016,SC3028"


@pytest.mark.parametrize("dialect", ["dash", "bash"])
def test_shellcheck_finds_nothing_in_any_text_for_shells(functions, wheel, dialect, need):
    texts = [find_text(path) for form in FORMS for path in functions(form).values()]
    done = subprocess.run([need("shellcheck"), "-s", dialect, "-e", EXPECTED, *texts], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def find_text(path):
    return path if path.is_file() else path / "milestone_persist"


# What bash 3.2, still that of macOS, does not know, and shellcheck takes for bash.
LATER = re.compile(r"(declare|typeset|local) -\w*[An]|\$\{\w+(\[[^]]*\])?(,|\^|@)|%\([^)]*\)T|\|&|&>>"
                   r"|\b(mapfile|readarray|coproc)\b|;;?&|\[\[? -v |BASHPID|EPOCH|\bwait -n|shopt -s globstar")


@pytest.mark.parametrize("form", FORMS)
def test_no_text_needs_a_bash_later_than_3_2(functions, form):
    for path in functions(form).values():
        text = find_text(path).read_text(encoding="utf-8")
        found = [line for line in text.splitlines() if not line.lstrip().startswith("#") and LATER.search(line)]
        assert found == [], path


@pytest.mark.parametrize("line", [
    "declare -A map", "local -n ref=$1", "typeset -gA map", 'x="${y,,}"', 'x="${y^}"', 'x="${a[0]@Q}"',
    "printf '%(%F)T' -1", "mapfile -t lines", "cat |& cat", "echo x &>>file", "[[ -v x ]]", "wait -n",
])
def test_what_is_later_than_bash_3_2_is_noticed(line):
    assert LATER.search(line)
