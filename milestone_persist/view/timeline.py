"""The timeline of a session as inline SVG: agents as lanes, their status, messages and state, phases and progress.

Everything stands at a percentage of the width, so that the page stretches it without stretching text and arrows.
"""
from __future__ import annotations

from ..base.times import format_time, read_time, since
from .lanes import Lane, Mark, make_lanes, read_progress
from .markup import Markup, element, empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..storage.interface import Row

AXIS, PROGRESS, GAP = 24, 64, 14  # heights: the times, progress and phases, and what is between them and the lanes
HIGH, LOW, MANY = 32, 18, 30  # of a lane; from so many agents lanes are low
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
ZOOMS = (1, 2, 4, 8, 16)
LABELS = 10  # times on the axis, about, where nothing is enlarged
AT_AN_END = .03  # of the axis: a time there stands beside its line, for half of it would be cut off
UNITS = 100_000  # the width of what is drawn as one path
SHAPES = {
    "crash": "M-5 -5L5 5M-5 5L5 -5", "recovery": "M4.5 -3A5.5 5.5 0 1 0 5.5 0M5.5 -6V-2H1.5",
    "checkpoint": "M0 -4.5L4.5 0L0 4.5L-4.5 0Z", "requeue": "M5 3.5A4 4 0 0 0 1 -1H-5M-2 -4.5L-5.5 -1L-2 2.5",
}


class Timeline:
    """One drawing, and its extent."""

    def __init__(self, data: Row) -> None:
        self.data, self.lanes, self.progress = data, make_lanes(data), read_progress(data)
        self.begin, self.end = read_time(data["begin"]), read_time(data["end"])
        self.rows = {lane.agent["agent_id"]: place for place, lane in enumerate(self.lanes)}
        self.has_others = any(row[name] not in self.rows for row in data["messages"]
                              for name in ("from_agent", "to_agent"))
        self.row_height = LOW if len(self.lanes) > MANY else HIGH
        self.top = AXIS + PROGRESS + GAP
        self.height = self.top + self.row_height * (len(self.lanes) + self.has_others) + 4

    def draw(self) -> Markup:
        """The whole figure: names on the left, the drawing next to them in a scrolling part."""
        names = [element("li", element("button", element("bdi", lane.agent["agent_id"]), type="button",
                                       data_agent=lane.agent["agent_id"], title=self._describe(lane)))
                 for lane in self.lanes]
        others = [element("li", "others", _class="quiet")] if self.has_others else []
        svg = element("svg", self._definitions(), self._draw_axis(), self._draw_progress(), self._draw_lanes(),
                      self._draw_messages(), self._draw_marks(), width="100%", height=self.height, role="img",
                      aria_label=self._summary(), data_lanes=len(self.lanes))
        return element("div", element("ol", names, others, _class="names" + " low" * (self.row_height == LOW)),
                       element("div", element("div", svg, _class="drawing"), _class="scroller", tabindex=0,
                               role="region", aria_label="Timeline, scrolls sideways"), _class="timeline")

    def _summary(self) -> str:
        kinds = [mark.kind for lane in self.lanes for mark in lane.marks]
        return (f"Timeline of {len(self.lanes)} agents over {since(self.data['begin'], self.data['end'])}: "
                f"{len(self.data['messages'])} messages, {kinds.count('checkpoint')} checkpoints, "
                f"{kinds.count('crash')} crashes, {kinds.count('recovery')} recoveries")

    def _describe(self, lane: Lane) -> str:
        agent = lane.agent
        return f"{agent['agent_type']}, {agent['status']}; show only this agent"

    def _x(self, at: float) -> str:
        return f"{100 * min(max((at - self.begin) / (self.end - self.begin), 0), 1):.3f}%"

    def _wide(self, begin: float, end: float) -> str:
        return f"{100 * max(end - begin, 0) / (self.end - self.begin):.3f}%"

    def _y(self, agent_id: str) -> float:
        """The middle of an agent's lane; for ids without a lane, that of the others."""
        return self.top + self.row_height * (self.rows.get(agent_id, len(self.lanes)) + 0.5)

    def _definitions(self) -> Markup:
        shapes = [element("g", empty("path", d=d), id=name) for name, d in SHAPES.items()]
        head = element("marker", empty("path", d="M0 0L6 3L0 6Z"), id="head", viewBox="0 0 6 6", refX=6, refY=3,
                       markerWidth=6, markerHeight=6, orient="auto-start-reverse")
        return element("defs", shapes, head)

    def _draw_axis(self) -> Markup:
        """Lines and times; those of a finer step have the class of the enlargement from which there is room."""
        parts: list[Markup] = []
        told: set[float] = set()
        step = STEPS[-1]
        for zoom in ZOOMS:
            least = (self.end - self.begin) / (LABELS * zoom)
            step = next((finer for finer in STEPS if finer >= least and step % finer == 0), step)
            at = self.begin - self.begin % step + step
            while at < self.end:
                if at not in told:
                    told.add(at)
                    parts.append(self._draw_time(at, step, zoom))
                at += step
        return element("g", parts, _class="axis")

    def _draw_time(self, at: float, step: float, zoom: int) -> Markup:
        text, x = format_time(at), self._x(at)
        label = text[5:10] if step >= 86400 else text[11:16] if step >= 60 else text[11:19]
        done = (at - self.begin) / (self.end - self.begin)
        side = "begins" if done < AT_AN_END else "ends" if done > 1 - AT_AN_END else None
        return element("g", empty("line", x1=x, x2=x, y1=AXIS - 4, y2=self.height),
                       element("text", label, x=x, y=14, _class=side), _class=f"z{zoom}")

    def _draw_progress(self) -> Markup:
        """Phases as bands, and the reported progress over them."""
        bottom, parts, steps = AXIS + PROGRESS, [], [*self.progress, (self.end, self.progress[-1][1], "")]
        for begin, end, phase in _phases(self.progress, self.end):
            x = self._x(begin)
            parts.append(element("g", empty("rect", x=x, y=AXIS, width=self._wide(begin, end), height=PROGRESS),
                                 element("text", phase, x=x, y=AXIS + 14, dx=6), _class=f"phase p-{phase}",
                                 data_text=f"phase {phase}, {_clock(begin)} to {_clock(end)}"))
        for (at, percent, _), (until, later, _) in zip(steps, steps[1:]):
            y, after = bottom - PROGRESS * percent / 100, bottom - PROGRESS * later / 100
            parts.append(empty("rect", x=self._x(at), y=y, width=self._wide(at, until), height=bottom - y,
                               _class="area"))
            parts.append(empty("line", x1=self._x(at), x2=self._x(until), y1=y, y2=y, _class="step"))
            parts.append(empty("line", x1=self._x(until), x2=self._x(until), y1=y, y2=after, _class="step"))
        return element("g", parts, _class="progress", data_steps=len(self.progress) - 1)

    def _draw_lanes(self) -> list[Markup]:
        beats: dict[str, list[float]] = {}
        for row in self.data["heartbeats"]:
            beats.setdefault(row["agent_id"], []).append(read_time(row["timestamp"]))
        return [self._draw_lane(lane, beats.get(lane.agent["agent_id"], [])) for lane in self.lanes]

    def _draw_lane(self, lane: Lane, beats: list[float]) -> Markup:
        middle, high = self._y(lane.agent["agent_id"]), self.row_height
        thick = high * 0.4
        line = empty("line", x1="0%", x2="100%", y1=middle + high / 2, y2=middle + high / 2, _class="rule")
        spans = [empty("rect", x=self._x(span.begin), y=middle - thick / 2, width=self._wide(span.begin, span.end),
                       height=thick, rx=2, _class=f"span s-{span.status}",
                       data_text=f"{lane.agent['agent_id']}: {span.status} {_clock(span.begin)} to {_clock(span.end)}")
                 for span in lane.spans]
        ticks = element(
            "svg", empty("path", d=self._ticks((read_time(row["timestamp"]) for row in lane.events),
                                               high / 2 - thick / 2 - 4, 3), _class="events"),
            empty("path", d=self._ticks(beats, high / 2 + thick / 2 + 1, 3), _class="beats"), x=0, y=middle - high / 2,
            width="100%", height=high, viewBox=f"0 0 {UNITS} {high}", preserveAspectRatio="none")
        return element("g", line, spans, ticks, _class="lane", data_agent=lane.agent["agent_id"])

    def _ticks(self, times: Iterable[float], y: float, height: float) -> Markup:
        scale = UNITS / (self.end - self.begin)
        return Markup("".join(f"M{min(max((at - self.begin) * scale, 0), UNITS):.0f} {y:g}v{height:g}"
                              for at in times))

    def _draw_messages(self) -> Markup:
        """An arrow from the sender, when it was sent, to the recipient, when it was taken; dashed if it was not."""
        return element("g", [self._draw_message(row) for row in self.data["messages"]], _class="messages")

    def _draw_message(self, row: Row) -> Markup:
        sent = read_time(row["created_at"])
        taken = read_time(row["delivered_at"]) if row["delivered_at"] else sent
        kind = row["message_type"] if row["message_type"][:2] != "x-" else "own"
        return empty("line", x1=self._x(sent), y1=self._y(row["from_agent"]), x2=self._x(taken),
                     y2=self._y(row["to_agent"]), marker_end="url(#head)",
                     _class=f"message m-{kind} is-{row['state']}", data_id=row["id"], data_from=row["from_agent"],
                     data_to=row["to_agent"])

    def _draw_marks(self) -> Markup:
        order = ("checkpoint", "requeue", "recovery", "crash")  # the later ones lie above
        found = sorted(((order.index(mark.kind), mark, lane) for lane in self.lanes for mark in lane.marks),
                       key=lambda item: (item[0], item[1].at))
        return element("g", [self._draw_mark(mark, lane.agent["agent_id"]) for _, mark, lane in found], _class="marks")

    def _draw_mark(self, mark: Mark, agent_id: str) -> Markup:
        text = f"{agent_id}: {mark.text}, {_clock(mark.at)}"
        shape = empty("circle", r=8, _class="spot"), empty("use", href=f"#{mark.kind}")
        return element("svg", shape, x=self._x(mark.at), y=self._y(agent_id), overflow="visible",
                       _class=f"mark k-{mark.kind}", data_text=text, data_agent=agent_id)


def _clock(at: float) -> str:
    return format_time(at)[11:19]


def _phases(progress: list[tuple[float, float, str]], end: float) -> list[tuple[float, float, str]]:
    """Each phase from its first report to the next one's."""
    begun: list[tuple[float, str]] = []
    for at, _, phase in progress:
        if phase and (not begun or begun[-1][1] != phase):
            begun.append((at, phase))
    ends = [at for at, _ in begun[1:]] + [end]
    return [(at, until, phase) for (at, phase), until in zip(begun, ends)]
