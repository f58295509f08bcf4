"""`status --watch` in a real terminal: tmux draws it, keys and a resize drive it."""
from __future__ import annotations

import shlex
import subprocess
import sys
import time

import pytest
from conftest import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
SECONDS = 20  # until something is to be seen: a limit, and no measure


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture
def tmux(need, tmp_path, directory):
    """A terminal of 90 × 24 in a server of its own: tmux("send-keys", "q")."""
    socket, program = str(tmp_path / "tmux"), need("tmux")

    def tmux(*words):
        return subprocess.run([program, "-S", socket, "-f", "/dev/null", *words], capture_output=True, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)},
                              encoding="utf-8", check=True).stdout

    command = shlex.join([sys.executable, "-I", "-S", str(ROOT / "milestone_persist" / "__main__.py"), "--dir",
                          str(directory), "status", "--watch"])
    # a shell around it, which shows what the terminal is like afterwards
    script = f"trap : INT; echo before; {command}; echo after $?; exec cat"
    tmux("new-session", "-d", "-x", "90", "-y", "24", "sh", "-c", script)
    yield tmux
    tmux("kill-server")


@pytest.fixture
def wait_for(tmux):
    """The screen, once it shows what is looked for."""
    def wait_for(is_shown):
        end = time.monotonic() + SECONDS
        while not is_shown(screen := tmux("capture-pane", "-p")):
            assert time.monotonic() < end, screen
            time.sleep(0.05)
        return screen

    return wait_for


@pytest.fixture
def team(store):
    for number in range(3):
        store.register_agent(f"agent-{number}", "validation", "ms-1", "validation-ms-1-1")
    return store


def test_it_shows_changes_follows_a_resize_and_ends_with_q(team, tmux, wait_for):
    screen = wait_for(lambda text: "agent-2" in text and "q quits" in text)
    assert "before" not in screen and len(screen.rstrip("\n").splitlines()) == 24
    team.update_agent_status("agent-1", "paused")  # as another process does
    team.log_milestone_event("noticed")
    wait_for(lambda text: "‖ agent-1" in text and "noticed" in text)
    tmux("resize-window", "-x", "50", "-y", "12")
    screen = wait_for(lambda text: len(text.rstrip("\n").splitlines()) == 12 and text.rstrip().endswith("q quits"))
    assert max(map(len, screen.splitlines())) <= 50 and "waiting" not in screen
    tmux("resize-window", "-x", "120", "-y", "30")
    wait_for(lambda text: "working on" in text and len(text.rstrip("\n").splitlines()) == 30)
    tmux("send-keys", "xq")  # x means nothing
    screen = wait_for(lambda text: "after 0" in text)
    assert "before" in screen and "q quits" not in screen  # the screen from before is there again
    tmux("send-keys", "echo")  # and what is typed is shown
    wait_for(lambda text: text.rstrip().endswith("echo"))


def test_an_interrupt_ends_it_as_well_and_leaves_the_terminal_as_it_was(team, tmux, wait_for):
    wait_for(lambda text: "q quits" in text)
    tmux("send-keys", "C-c")
    wait_for(lambda text: "after 0" in text)
