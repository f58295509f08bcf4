"""Upgrade steps: what each schema version does with the rows of the one before; the tables are converted already.

Every storage brings its tables into the form of the canonical schema by itself: a new column has its default, a new
table is empty. A step does the rest, in portable SQL.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[str], object]


def take_steps(version: int, run: Run) -> None:
    """Upgrade the rows of a store of that version to the present one, within the caller's transaction."""
    for step in STEPS[version - 1:]:
        step(run)


def _give_moves_a_table(run: Run) -> None:
    run("INSERT INTO store_moves (moved_to, move, noted_at) SELECT value, description, updated_at "
        "FROM agent_coordination_config WHERE key = 'moved_to'")
    run("DELETE FROM agent_coordination_config WHERE key = 'moved_to'")


def _add_hooks(run: Run) -> None:
    """Version 3 has columns for hooks, whose defaults will do: older messages count as sent to one."""


STEPS: tuple[Callable[[Run], None], ...] = (  # the n-th brings version n to version n + 1
    _give_moves_a_table,
    _add_hooks,
)
