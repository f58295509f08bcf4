"""Tests go through what is public: no private name of the package, and no module of another room."""
from __future__ import annotations

import ast
import functools

import pytest
from conftest import ROOT

TESTS = sorted((ROOT / "tests").rglob("*.py"))
SOURCES = sorted((ROOT / "milestone_persist").rglob("*.py"))
PATCHES = ("setattr", "delattr", "getattr")


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


@functools.lru_cache(None)
def private_names():
    """The functions, classes, attributes and constants that the package keeps to itself."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            name = (node.name if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else
                    node.attr if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) else
                    node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else "")
            if is_private(name) and len(name) > 1:
                found.add(name)
    return found


def private_words(tree):
    """Where a test says a private name: of anything but `self`, in an import, or to replace what has that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("milestone_persist"):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value.startswith("milestone_persist."):
                yield node.lineno, node.value.rpartition(".")[2]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in PATCHES:
            yield from ((node.lineno, word.value) for word in node.args[1:2] if isinstance(word, ast.Constant))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_no_test_touches_a_private_name_of_the_package(path):
    words = private_words(ast.parse(path.read_text()))
    assert [(line, name) for line, name in words if name in private_names()] == []


@pytest.mark.parametrize("line", ["store._closed", "from milestone_persist.api import _warn",
                                  "patch.setattr(api, '_warn', 1)", "patch.setattr('milestone_persist.api._warn', 1)", "getattr(store, '_closed')"])
def test_a_private_name_is_found(line):
    assert {name for _, name in private_words(ast.parse(line))} & private_names()
