"""Shows an operation live on a terminal: redrawn in place until a key or a signal ends it."""
from __future__ import annotations

import os
import select
import signal
import termios
import tty

from .repeating import call_again
from .terminal import Terminal
from .text.cells import compose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..registry import Operation
    from .main import Console
    from .repeating import Opened

REFRESH_SECONDS, POLL_SECONDS = 1.0, 0.1
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # a screen of its own, without a cursor
BEGIN, END = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"  # what is between them is shown at once, where a terminal can
QUIT = b"qQ\x03\x04"
FOOT = "q quits"


class Stop(Exception):
    """Ends the watching."""


def watch(op: Operation, args: list[Any], options: dict[str, Any], opened: Opened, console: Console) -> int:
    """Show the operation's data until q is pressed; 0."""
    keys = _open_keyboard()
    before, old = termios.tcgetattr(keys), [(number, signal.signal(number, _stop)) for number in
                                            (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    try:
        tty.setcbreak(keys)
        _write(console, ENTER)
        _repeat(op, args, {**options, "watch": False}, opened, Terminal(console), keys)
    except Stop:
        pass
    finally:
        _write(console, LEAVE)
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
        for number, action in old:
            signal.signal(number, action)
        os.close(keys)
    return 0


def _open_keyboard() -> int:
    return os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)


def _stop(number: int, frame: object) -> None:
    raise Stop


def _repeat(op: Operation, args: list[Any], options: dict[str, Any], opened: Opened, terminal: Terminal,
            keys: int) -> None:
    clock, data, drawn, due = opened.get().clock, None, ("", (0, 0)), 0.0
    while True:
        now, size = clock.monotonic(), terminal.size()
        if now >= due:
            data, due = call_again(op, args, options, opened, is_repeated=data is not None), now + REFRESH_SECONDS
        if now + REFRESH_SECONDS == due or size != drawn[1]:
            text = _frame(terminal, op.screen, data)
            if (text, size) != drawn:
                _write(terminal.console, BEGIN + text + END)
                drawn = (text, size)
        ready = select.select([keys], [], [], POLL_SECONDS)[0]
        pressed = os.read(keys, 64) if ready else b" "
        if not pressed or any(key in QUIT for key in pressed):
            raise Stop


def _frame(terminal: Terminal, name: str, data: Any) -> str:
    """The screen: every line to its end, the last one without a line break, so that nothing scrolls."""
    width, height = terminal.size()
    lines = terminal.draw(name, data, height - 1).splitlines()
    lines += [""] * (height - 1 - len(lines)) + [compose([("dim", FOOT)], width, terminal.is_coloured)]
    return "\r\n".join(line + "\x1b[K" for line in lines[-height:])


def _write(console: Console, text: str) -> None:
    console.stdout.write(text.encode())
    console.stdout.flush()
