"""Several operations in one call, as lines of JSON."""
from __future__ import annotations

from ..base.errors import Incomplete, MilestoneError, StorageError
from ..coordination.bundle import Line, read_lines
from ..registry import operation
from ..storage.interface import StorageMoved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..base.answers import BatchResult
    from ..storage.interface import Storage

GROUP = "Batches"


@operation(text="json_lines", stdin="operations")
def batch(store: Storage, operations: str | Sequence[Any], *, atomic: bool = False) -> list[BatchResult]:
    """Run many operations in one call: lines of JSON in, a line of JSON with the result of each out.

    operations: a line each, ["save_agent_state", "a", "k", "v"] or {"name": …, "arguments": {…}}; - reads stdin
    atomic: all in one transaction: if one fails, none is done

    Operations of agents, state, messages, checkpoints, sessions, milestones and the log. A line that is no such call
    is refused before anything is done (status 2). Without --atomic, what fails is told in its line, the rest is done,
    and the status is 1.
    Example: batch '["save_agent_state", "exec-ms-123", "note", "started"]' --atomic
    """
    lines = read_lines(operations)
    return _do_all(store, lines) if atomic else _do_each(store, lines)


def _do_all(store: Storage, lines: list[Line]) -> list[BatchResult]:
    done: list[BatchResult] = []
    with store.transaction("batch"):
        for line in lines:
            try:
                done.append({"line": line.number, "result": line.run(store)})
            except MilestoneError as error:
                error.args = (f"line {line.number}: {error}; none of the {len(lines)} lines was done",)
                raise
    return done


def _do_each(store: Storage, lines: list[Line]) -> list[BatchResult]:
    done: list[BatchResult] = []
    failed = []
    for line in lines:
        try:
            done.append({"line": line.number, "result": line.run(store)})
            continue
        except StorageMoved as moved:
            if not done or store.is_unmade:
                raise  # from the start, on the store in use
            error: MilestoneError = StorageError(f"{moved}; not done, give this line again")
        except MilestoneError as refused:
            error = refused
        done.append({"line": line.number, "status": error.status, "error": str(error)})
        failed.append(done[-1])
    if failed:
        raise Incomplete(f"{len(failed)} of {len(lines)} lines failed, the first is line {failed[0]['line']}: "
                         f"{failed[0]['error']}", done)
    return done
