"""Calls that do not fit an operation: one line that shows the right form, status 2, and nothing is changed."""
from __future__ import annotations

import os

import pytest

from milestone_persist.base.vocabulary import words_for
from milestone_persist.cli.arguments import FREE, PATHS
from milestone_persist.registry import all_operations

SURFACES = {"command": [], "shell": ["--from-shell"]}
OPERATIONS = [op for op in all_operations() if op.name != "complete"]  # which takes any words, and is never refused


@pytest.fixture
def backend():
    """Words are read before anything is opened: one will do."""
    return "hybrid"


@pytest.fixture
def scene(store):
    """A store in which something could be changed."""
    store.register_agent("a", "validation", "ms-1", "s-1")
    store.save_agent_state("a", "k", "v")
    store.create_milestone_record("ms-1", "title: one")
    return store


@pytest.fixture
def files(tmp_path):
    """What lies in the test's directory: every file's path and content, but for the store's own bookkeeping."""
    def files():
        return {path: os.path.getsize(path) for path in tmp_path.rglob("*")
                if path.is_file() and "coordination.db" not in path.name}

    return files


def call_words(op):
    """Words that fit what an operation requires, none of which is there."""
    words = {"int": "1", "float": "1", "bool": "true"}
    return [words.get(p.type, "word") for p in op.positionals]


def refuse(done, op):
    assert (done.status, done.out) == (2, b""), (op.name, done)
    assert done.err.startswith("milestone_persist: ") and done.err.count("\n") == 1, (op.name, done)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_too_many_words_are_refused_with_the_right_form(scene, cli, dump, files, tmp_path, monkeypatch, surface):
    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    for op in OPERATIONS:
        if not (op.positionals and op.positionals[-1].repeated):
            for more in (["ms-1"], ["ms-1", "x"], ["--dir", "X"], ["-"], ["5", "--json"]):
                done = cli(*surface, op.command, *call_words(op), *more)
                refuse(done, op)
                assert op.name in done.err
    assert (dump(), files()) == before


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_too_few_words_are_refused_with_the_right_form(scene, cli, dump, files, tmp_path, monkeypatch, surface):
    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    for op in OPERATIONS:
        for count in range(op.required):
            done = cli(*surface, op.name, *call_words(op)[:count])
            refuse(done, op)
            assert f"{op.positionals[count].name.upper()} is missing" in done.err and op.name in done.err
    assert (dump(), files()) == before


# What may be empty: free text, and a number or an id that may be left out, which is what "${5:-}" gives; a
# message to nobody by name goes to all.
MAY_BE_EMPTY = ("value", "text", "payload", "milestone", "to_agent")


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_an_empty_word_is_no_name_and_no_path(scene, cli, dump, files, tmp_path, monkeypatch, surface):
    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    for op in OPERATIONS:
        for place, parameter in enumerate(op.positionals):
            if parameter.name in PATHS or parameter.required and parameter.name not in MAY_BE_EMPTY:
                words = fitting_words(op)
                words[place] = ""
                refuse(cli(*surface, op.name, *words[:max(op.required, place + 1)]), op)
    assert (dump(), files()) == before


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_a_word_of_another_type_is_refused(scene, cli, dump, files, tmp_path, monkeypatch, surface):
    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    wrong = {"int": ["soon", "1.5", "1e3", "0x1", "\u0661", "1_000", " 1", "9" * 30],
             "float": ["soon", "nan", "1,5", "inf", "1_0"],
             "bool": ["maybe", "2", "-"], "str": ["nonsense", "\udcff", "\0"]}
    for op in OPERATIONS:
        for place, parameter in enumerate(op.positionals):
            chosen = words_for(op.name, parameter.name) and parameter.name != "agent_type"  # others are stored as x-…
            for word in wrong[parameter.type][1 if parameter.type == "str" and not chosen else 0:]:
                words = fitting_words(op)
                words[place] = word
                refuse(cli(*surface, op.name, *words[:max(op.required, place + 1)]), op)
        for option in op.options:
            for word in wrong[option.type] if option.type in ("int", "float") else []:
                refuse(cli(*surface, op.name, *fitting_words(op)[:op.required], option.flag, word), op)
    assert (dump(), files()) == before


def fitting_words(op):
    """Words that fit every argument of an operation, and with which it could be done."""
    given = {"agent_id": "a", "from_agent": "a", "to_agent": "a", "state_key": "k", "session_id": "s-1",
             "milestone_id": "ms-1", "payload": "{}", "details": "{}", "capabilities": "[]", "shell": "sh"}
    types = {"int": "5", "float": "5", "bool": "true"}
    return [given.get(p.name) or (words_for(op.name, p.name) or [types.get(p.type, "x")])[0] for p in op.positionals]


def test_unknown_options_are_no_arguments(scene, cli, dump, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    for op in OPERATIONS:
        for unknown in (["--no-such"], ["--no-such=1"], ["-x"], ["--dir", "X"], ["--version"]):
            refuse(cli(op.command, *call_words(op), *unknown), op)
            if not any(p.name in FREE for p in op.positionals):
                refuse(cli("--from-shell", op.name, *call_words(op)[:op.required], *unknown), op)
        for option in op.options:
            if option.type != "bool":
                refuse(cli(op.command, *call_words(op), option.flag), op)
            if option.type in ("bool", "int", "float"):
                refuse(cli(op.command, *call_words(op), f"{option.flag}=soon"), op)
    assert (dump(), files()) == before


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
@pytest.mark.parametrize("words", [
    ["export_coordination", "--force"], ["backup_coordination", "--dry-run"], ["vendor", "--chek"],
    ["install", "--force"], ["import_coordination", "--force", "f"], ["restore_coordination", "--force"],
    ["import_tmp_files", "--all"],
    ["create_agent_checkpoint", "a", "manual", "--all"], ["generate", "--force"], ["uninstall", "--force"],
    ["backup_coordination", "-"], ["vendor", "-"], ["install", "-"], ["restore_coordination", "-"],
    ["create_agent_checkpoint", "a", "manual", "-"], ["register_agent", "b", "--force", "ms-1", "s-1"],
    ["migrate_storage_backend", "--force"], ["list_milestones", "--all"], ["get_agent_messages", "a", "--take"],
])
def test_what_looks_like_an_option_names_no_file_and_no_word(scene, cli, dump, files, tmp_path, monkeypatch, surface,
                                                             words):
    monkeypatch.chdir(tmp_path)
    before = dump(), files()
    done = cli(*surface, *words)
    assert (done.status, done.out) == (2, b"") and words[0] in done.err and done.err.count("\n") == 1
    assert (dump(), files()) == before


def test_options_may_stand_before_a_path(scene, cli, tmp_path):
    assert cli("--from-shell", "export_coordination", tmp_path / "e.jsonl").status == 0
    assert cli("--from-shell", "import_coordination", "--replace", tmp_path / "e.jsonl").status == 0


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_an_export_to_standard_output_is_what_its_file_would_be(scene, cli, tmp_path, monkeypatch, surface):
    monkeypatch.chdir(tmp_path)
    cli("export_coordination", "e.jsonl")
    done = cli(*surface, "export_coordination", "-")
    assert (done.status, done.err) == (0, "") and done.out == (tmp_path / "e.jsonl").read_bytes()
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("words, said", [
    (["load_agent_state", "a", "none", "--no-such"], "--no-such"), (["load_agent_state", "a", "none", "-x"], "-x"),
    (["log_milestone_event", "e", "ms-1", "--detail"], ""), (["save_agent_state", "--x", "--y", "--z"], ""),
    (["load_agent_state", "a", "none", "--help"], "--help"),
])
def test_values_from_the_shell_functions_come_through(scene, cli, words, said):
    done = cli("--from-shell", *words)
    assert (done.status, done.text, done.err) == (0, said, "")
