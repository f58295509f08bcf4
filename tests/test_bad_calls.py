"""Calls that do not fit an operation: one line that shows the right form, status 2, and nothing is changed."""
from __future__ import annotations

import os

import pytest

from milestone_persist.registry import all_operations

SURFACES = {"command": [], "shell": ["--from-shell"]}
OPERATIONS = [op for op in all_operations() if op.name != "complete"]  # which takes any words, and is never refused


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
