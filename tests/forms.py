"""That the program works, in whichever form it is called: its command line, and its shell functions."""
from __future__ import annotations

import shutil
import sys

from building import run

from milestone_persist import __version__

NASTY = """it's "both" $(touch pwned) `touch pwned` %s \\n \\ 👩💻\n\t'; DROP TABLE agent_state; --\n"""
PLACE = "it's a \"place\" with $HOME, é and 日本"


def check_command(command, cwd, **variables):
    """The command line works from the directory `cwd`: make a store there, save and load."""
    assert run([*command, "--version"], cwd, **variables) == f"milestone_persist {__version__}\n".encode()
    assert run([*command, "initialize-agent-coordination"], cwd, **variables).startswith(b"ready: ")
    run([*command, "save-agent-state", "a", "--", "-k", "-"], cwd, stdin=NASTY.encode(), **variables)
    assert run([*command, "load-agent-state", "a", "--", "-k"], cwd, **variables) == NASTY.encode()
    assert not (cwd / "pwned").exists()


def check_adapter(path, cwd):
    """The shell functions of the file work from the directory `cwd`."""
    script = '. "$1"; initialize_agent_coordination; save_agent_state a k "$2"; load_agent_state a k'
    for shell in ("sh", "bash"):
        out = run([shell, "-euc", script, shell, path, NASTY], cwd, MILESTONE_PYTHON=sys.executable)
        assert out.startswith(b"ready: ") and out.endswith(b"\n" + NASTY.encode())
        shutil.rmtree(cwd / ".milestones")
