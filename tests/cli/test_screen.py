"""What a terminal is shown: nothing wider than it is, wide characters in two cells, colours where they are wanted."""
from __future__ import annotations

import io
import re
import sqlite3

import pytest

from milestone_persist.cli.main import Console, main
from milestone_persist.cli.text.cells import compose, cut, fill, width_of
from milestone_persist.cli.text.screen import overview_screen

pytestmark = pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def backend():
    """What is drawn does not depend on it."""
    return "hybrid"


class Terminal(io.BytesIO):
    """A terminal that does not tell its size."""

    def isatty(self):
        return True


@pytest.fixture
def draw(directory, clock, environ):
    """What a command line shows on a terminal: draw("status", COLUMNS="60")."""
    def draw(*words, **variables):
        out = Terminal()
        surroundings = {**environ, "MILESTONE_DIR": str(directory), **variables}
        assert main([*words], Console(io.BytesIO(), out, io.BytesIO(), surroundings, clock)) == 0
        return out.getvalue().decode()

    return draw


@pytest.fixture
def team(store, clock):
    """Agents with ids of every width, of which one has died with a task."""
    for agent in ("coord-ms-1", "设计-代理-1", "e\u0301quipe", "👩‍💻-dev", "x" * 90, "dead"):
        store.register_agent(agent, "feature-implementation", "ms-1", "execution-ms-1-1")
        store.update_agent_status(agent, task="任务 " * 30)
    store.send_agent_message("coord-ms-1", "dead", "task_assignment", {})
    store.get_agent_messages("dead", True)
    store.send_agent_message("dead", "设计-代理-1", "task_assignment", {})
    clock.advance(600)
    for row in store.list_session_agents("execution-ms-1-1"):
        if row["agent_id"] != "dead":
            store.agent_heartbeat(row["agent_id"])
    store.log_milestone_event("\x1b[31mred", "ms-1", "\x1b]0;title\x07 任务 \u202e gnirts")
    return store


@pytest.mark.parametrize("text, width", [("abc", 3), ("任务", 4), ("e\u0301", 1), ("👩", 2), ("", 0), ("\u200bx", 1),
                                         ("ｱ", 1), ("Ａ", 2), ("한글", 4)])
def test_a_text_is_as_wide_as_a_terminal_shows_it(text, width):
    assert width_of(text) == width


def test_a_text_is_cut_and_filled_to_cells_and_not_to_characters():
    assert (cut("任务任务", 5), cut("任务任务", 4), cut("任务", 4), cut("abc", 1), cut("abc", 0)) == (
        "任务…", "任…", "任务", "…", "")
    assert (fill("任务", 6), fill("任务", 6, True), fill("任务任务", 4)) == ("任务  ", "  任务", "任… ")


def test_a_line_ends_with_no_blanks_and_is_no_wider_than_the_screen():
    assert compose([("bold", "ab "), ("", "  ")], 10, True) == "\x1b[1mab\x1b[0m"
    assert compose([("bold", "abc"), ("", "def")], 5, False) == "abcd…"


@pytest.mark.parametrize("width", [20, 40, 60, 83, 100, 200])
@pytest.mark.parametrize("height", [5, 12, 24, 60])
def test_nothing_is_wider_or_higher_than_the_screen(team, width, height):
    lines = overview_screen(team.status(), width, height)
    assert len(lines) <= height
    assert max(width_of(compose(line, width, False)) for line in lines) <= width


def test_the_columns_of_agents_stand_below_each_other(team):
    lines = [compose(line, 100, False) for line in overview_screen(team.status(), 100)]
    rows = [line for line in lines if line.startswith(("●", "◐")) and "alive" not in line]
    assert len(rows) == 6
    assert len({width_of(line[:re.search("active|silent", line).start()]) for line in rows}) == 1


def test_colours_are_for_terminals_and_NO_COLOR_and_a_dumb_one_have_none(team, draw, cli):
    assert SGR.search(draw("status"))
    for plain in (draw("status", NO_COLOR="1"), draw("status", TERM="dumb"), cli("status").text):
        assert "\x1b" not in plain
    assert SGR.sub("", draw("status")) == draw("status", NO_COLOR="1")


def test_what_is_stored_never_acts_on_the_terminal(team, draw):
    text = SGR.sub("", draw("status", COLUMNS="200"))
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "\\x1b[31mred" in text


def test_a_low_screen_keeps_what_needs_attention_and_the_silent(team):
    text = "\n".join(compose(line, 80, False) for line in overview_screen(team.status(), 80, 12))
    assert "recover_milestone_session execution-ms-1-1" in text
    assert re.search("◐ dead", text)


@pytest.mark.parametrize("width", [36, 60, 72, 100, 200])
def test_the_command_for_what_needs_attention_is_whole(team, width):
    lines = [compose(line, width, False) for line in overview_screen(team.status(), width)]
    text = "\n".join(lines).replace("\\\n", "")
    assert "python3 -m milestone_persist recover_milestone_session execution-ms-1-1" in re.sub(" +", " ", text)


def test_a_store_that_is_not_there_is_said_to_be_so(draw, directory):
    assert draw("status", NO_COLOR="1", COLUMNS="300") == f"{directory}  not made yet\n"


@pytest.mark.parametrize("table, column, value", [
    ("coordination_sessions", "status", "x\x1b[2J\u202e"), ("coordination_sessions", "phase", "x\x1b[2J\u202e"),
    ("coordination_sessions", "progress", float("inf")), ("agent_registry", "status", "x\x1b[2J\u202e")])
def test_a_word_that_others_have_written_is_drawn_with_escapes(team, directory, table, column, value):
    """A database that came with a clone may hold what no CHECK of ours lets in."""
    connection = sqlite3.connect(directory / "coordination.db")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    connection.commit()
    connection.close()
    for width in (40, 100):
        lines = [compose(line, width, False) for line in overview_screen(team.status(), width)]
        assert all(line.isprintable() and width_of(line) <= width for line in lines)
