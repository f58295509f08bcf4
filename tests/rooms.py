"""The rooms of the package and which way its imports point: python3 tests/rooms.py counts them.

The rooms are listed once, in docs/architecture.md; a room imports only rooms that stand above it there.
"""
from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "milestone_persist"
LIST = ROOT / "docs" / "architecture.md"


def read_rooms():
    """The rooms in their order, as paths in the package."""
    section = LIST.read_text(encoding="utf-8").partition("\n## Rooms\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. `([\w/.]+)`", section, re.MULTILINE)


def module_name(path, package=PACKAGE):
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Imports(ast.NodeVisitor):
    """What a module imports of the package when it is loaded (`loaded`) or ever (`ever`): (name, line).

    `unknown`: lines of imports whose name stands nowhere. What only checkers of types read does not count.
    """

    def __init__(self, path, modules, package=PACKAGE):
        self.modules, self.package, self.depth = modules, package.name, 0
        self.home = path.relative_to(package).parts[:-1]
        self.loaded, self.ever, self.unknown = set(), set(), []
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_If(self, node):
        for child in node.orelse if getattr(node.test, "id", "") == "TYPE_CHECKING" else ast.iter_child_nodes(node):
            self.visit(child)

    def visit_FunctionDef(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    def visit_ImportFrom(self, node):
        base = [*self.home[:len(self.home) - node.level + 1]] if node.level else []
        base += (node.module or "").split(".") if node.module else []
        if not node.level and base[:1] == [self.package]:
            del base[0]
        elif not node.level:
            return
        for alias in node.names:
            self._add(".".join([*base, alias.name]), ".".join(base), node.lineno)

    def visit_Import(self, node):
        for alias in node.names:
            top, _, rest = alias.name.partition(".")
            if top == self.package:
                self._add(rest, "", node.lineno)

    def visit_Call(self, node):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in ("__import__", "import_module") and node.args:
            word = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if word is None:
                self.unknown.append(node.lineno)
            elif word.partition(".")[0] == self.package:
                self._add(word.partition(".")[2], "", node.lineno)
        self.generic_visit(node)

    def _add(self, inner, base, line):
        name = inner if inner in self.modules else base
        self.ever.add((name, line))
        if not self.depth:
            self.loaded.add((name, line))


def read_imports(package=PACKAGE):
    """The Imports of every module, by name."""
    modules = {module_name(path, package): path for path in package.rglob("*.py")}
    return {name: Imports(path, modules, package) for name, path in sorted(modules.items())}


def room_of(name, rooms):
    """The innermost room that holds a module; None if there is none."""
    path = name.replace(".", "/")
    fitting = [room for room in rooms if path + "/" == room or f"{path or '__init__'}.py" == room
               or room.endswith("/") and path.startswith(room)]
    return max(fitting, key=len, default=None)


def find_arrows(imports, rooms):
    """Between two rooms, the imports that cross: {(from, to): ["module:line imports module", …]}."""
    arrows = {}
    for name, found in imports.items():
        for other, line in sorted(found.ever):
            ends = room_of(name, rooms), room_of(other, rooms)
            if ends[0] != ends[1]:
                arrows.setdefault(ends, []).append(f"{name}:{line} imports {other or PACKAGE.name}")
    return arrows


def find_back(arrows, rooms):
    """The imports of a room that stands further down, or of none."""
    return [line for (here, there), lines in arrows.items() for line in lines
            if here is None or there is None or rooms.index(there) > rooms.index(here)]


def find_circle(imports):
    """Modules that import each other, in functions or not; [] if there are none."""
    graph = {name: {other for other, _ in found.ever} - {name} for name, found in imports.items()}
    while graph:
        ready = {name for name, needed in graph.items() if not needed & set(graph)}
        if not ready:
            return sorted(graph)
        graph = {name: needed for name, needed in graph.items() if name not in ready}
    return []


def count_lines(rooms):
    """The lines of each room, not those of rooms inside it."""
    lines = dict.fromkeys(rooms, 0)
    for path in PACKAGE.rglob("*.py"):
        lines[room_of(module_name(path), rooms)] += len(path.read_text(encoding="utf-8").splitlines())
    return lines


def main():
    rooms, imports = read_rooms(), read_imports()
    arrows = find_arrows(imports, rooms)
    back, circle = find_back(arrows, rooms), find_circle(imports)
    for room, lines in count_lines(rooms).items():
        print(f"{lines:6} lines  {room}")
    print(f"{len(rooms)} rooms, {len(imports)} modules, {len(arrows)} arrows, {len(back)} back up, "
          f"{1 if circle else 0} circles")
    print("\n".join(back + circle), end="\n" if back + circle else "")
    return 1 if back or circle else 0


if __name__ == "__main__":
    sys.exit(main())
