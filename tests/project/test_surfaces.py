"""Tests go through what is public: no private name of the package, and no module of a room below their own."""
from __future__ import annotations

import ast

import pytest
from conftest import ROOT
from rooms import PACKAGE, module_name, read_rooms, room_of

TESTS = sorted((ROOT / "tests").rglob("*.py"))
PATCHES = ("setattr", "delattr", "getattr")
OTHERS = ("_exit", "_tmp_path_factory", "_fixtureinfo")  # of Python, and of pytest


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in OTHERS


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
            yield from ((node.lineno, word.value) for word in node.args[1:2]
                        if isinstance(word, ast.Constant) and isinstance(word.value, str))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_no_test_touches_a_private_name_of_the_package(path):
    words = private_words(ast.parse(path.read_text()))
    assert [(line, name) for line, name in words if is_private(name)] == []


@pytest.mark.parametrize("line", [
    "store._closed", "from milestone_persist.api import _warn", "patch.setattr(api, '_warn', 1)",
    "patch.setattr('milestone_persist.api._warn', 1)", "getattr(store, '_closed')"])
def test_a_private_name_is_found(line):
    assert any(is_private(name) for _, name in private_words(ast.parse(line)))


ROOMS, MODULES = read_rooms(), {module_name(path) for path in PACKAGE.rglob("*.py")}
PUBLIC = ("", "cli.main", "registry", "opening.place", "storage.interface")


def imported(tree):
    """What a test imports of the package, and in which of its modules it replaces something by a dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
            yield from (word.value for word in node.args[:1] if isinstance(word, ast.Constant))


def module_in(name):
    """The module of the package that a dotted name leads to; "" for the public names and what is not of the package."""
    words = name.split(".")[1:] if name.startswith("milestone_persist.") else []
    while words and ".".join(words) not in MODULES:
        words.pop()
    return ".".join(words)


def is_near(module, own):
    """Whether a test in the folder of a room may import a module: one of that room, or of those it is made of."""
    rooms = [room for room in ROOMS if room.partition("/")[0].rstrip("/").removesuffix(".py") == own]
    return not rooms or ROOMS.index(room_of(module, ROOMS)) <= ROOMS.index(rooms[-1])


@pytest.mark.parametrize("path", [path for path in TESTS if path.parent.name not in ("tests", "project")],
                         ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_a_test_imports_no_module_of_a_room_below_its_own(path):
    found = {module_in(name) for name in imported(ast.parse(path.read_text()))} - {*PUBLIC}
    assert sorted(name for name in found if not is_near(name, path.parent.name)) == []
