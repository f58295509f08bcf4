"""The lanes of a timeline: each agent's spans of status, and marks for events."""
from __future__ import annotations

import re

from ..base.times import read_time
from ..base.vocabulary import AGENT_STATUSES, AT_WORK, ENDED_AGENT, PHASES
from ..coordination.membership import SILENT
from .reading import RECOVERIES, REQUEUES, REVIVALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from ..storage.interface import Row

    class Span(NamedTuple):
        """A status from one time to another, in epoch seconds."""

        status: str
        begin: float
        end: float

    class Mark(NamedTuple):
        """What happened: crash, recovery, requeue or checkpoint."""

        kind: str
        at: float
        text: str
else:
    from collections import namedtuple

    Span, Mark = namedtuple("Span", "status begin end"), namedtuple("Mark", "kind at text")

# The status from an event on.
STATUS_OF = {**{f"agent_{status}": status for status in AGENT_STATUSES},
             **dict.fromkeys(REVIVALS, "active")}

_PROGRESS = re.compile(r"(\d+(?:\.\d+)?) %(?: (\w+))?", re.ASCII)  # what an event says of it


class Lane:
    """One agent's row of the timeline."""

    def __init__(self, agent: Row, events: list[Row], checkpoints: list[Row], end: float, silent_after: float) -> None:
        self.agent, self.events = agent, events
        self.spans: list[Span] = []
        self.marks: list[Mark] = []
        self._tell_life(end, silent_after)
        self.marks += [Mark("checkpoint", read_time(row["created_at"]), f"checkpoint ({row['checkpoint_type']})")
                       for row in checkpoints]

    def _tell_life(self, end: float, silent_after: float) -> None:
        status, begin = "", 0.0
        for row in self.events:
            at, name = read_time(row["timestamp"]), row["event"]
            now = STATUS_OF.get(name)
            if now:
                died = self._note_death(row, at) if now == "failed" else at
                self._add(status, begin, died)
                self._add("silent", died, at)
                status, begin = now, at
            if name in RECOVERIES:
                self.marks.append(Mark("recovery", at, f"{name} {row['detail']}".strip()))
            elif name in REQUEUES:
                self.marks.append(Mark("requeue", at, f"{name} {row['detail']}".strip()))
        self._end(status or self.agent["status"], begin or read_time(self.agent["spawn_time"]), end, silent_after)

    def _note_death(self, row: Row, at: float) -> float:
        """When a failed agent was last heard from, if known; and the mark of its crash."""
        silent = re.match(re.escape(SILENT) + r"(\d+) min", row["detail"])
        died = at - 60 * int(silent[1]) if silent else at
        self.marks.append(Mark("crash", died, f"failed: {row['detail']}" if row["detail"] else "failed"))
        return died

    def _end(self, status: str, begin: float, end: float, silent_after: float) -> None:
        """The last span, still open, with the status from the registry."""
        status, heard = self.agent["status"] if self.agent["status"] in ENDED_AGENT else status, 0.0
        heard = read_time(self.agent["last_heartbeat"])
        if status in AT_WORK and heard <= silent_after:
            self._add(status, begin, heard)
            self._add("silent", heard, end)
        elif status not in ENDED_AGENT:
            self._add(status, begin, end)

    def _add(self, status: str, begin: float, end: float) -> None:
        if status and status not in ENDED_AGENT and end > begin:
            if self.spans and self.spans[-1].status == status and self.spans[-1].end == begin:
                begin = self.spans.pop().begin
            self.spans.append(Span(status, begin, end))


def make_lanes(data: Row) -> list[Lane]:
    """A lane for each agent of a session."""
    end, silent_after = read_time(data["end"]), read_time(data["silent_after"])
    events, checkpoints = _by_agent(data["events"]), _by_agent(data["checkpoints"])
    return [Lane(agent, events.get(agent["agent_id"], []), checkpoints.get(agent["agent_id"], []), end, silent_after)
            for agent in data["agents"]]


def _by_agent(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["agent_id"], []).append(row)
    return found


def read_progress(data: Row) -> list[tuple[float, float, str]]:
    """Reported progress: the time, the percentage, and the phase from then on."""
    steps, phase = [(read_time(data["begin"]), 0.0, "")], ""
    for row in data["events"]:
        found = _PROGRESS.fullmatch(row["detail"])
        if found and row["event"] == "session_progress":
            phase = found[2] if found[2] in PHASES else phase
            steps.append((read_time(row["timestamp"]), min(100.0, float(found[1])), phase))
    if data["session"]["status"] == "completed":
        steps.append((read_time(data["session"]["completed_at"] or data["end"]), 100.0, phase))
    return steps
