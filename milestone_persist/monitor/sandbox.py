"""Whether this call has its own sandbox: a pid namespace that ends together with the call, with all its processes."""
from __future__ import annotations

import os

_FIRST_NAMESPACE = 0xEFFFFFFC  # the inode of the pid namespace that a Linux system begins with
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox", "env", "timeout")
_LAUNCHERS = ("bwrap", "codex-linux", "unshare", "firejail", "nsjail", "apply-seccomp", "setpriv", "sandbox")


def find_sandbox_of_call() -> str:
    """The name of the process whose end ends this call's pid namespace; "" if other processes live in it.

    It is the one of a single call if nothing but shells and launchers of sandboxes stands between that process, which
    is number 1 there, and this one: the program of an agent, or an `exec` into a container, lives on.
    """
    try:
        if os.stat("/proc/self/ns/pid").st_ino == _FIRST_NAMESPACE:
            return ""
        number, is_caller = "self", True
        while True:
            name, above, within = _read_status(number)
            if not is_caller and not _is_passing(name):
                return ""
            if within == "1":
                return name
            if above == "0":
                return ""
            number, is_caller = above, False
    except (OSError, ValueError, KeyError):  # no Linux, or a /proc that tells nothing
        return ""


def _is_passing(name: str) -> bool:
    """Whether a process of this name only starts another; a number is a program that was started by a descriptor."""
    return name in _SHELLS or name.startswith(_LAUNCHERS) or name.isdigit()


def _read_status(number: str) -> tuple[str, str, str]:
    """Of a process: its name, its parent, and its own number in its innermost namespace."""
    with open(f"/proc/{number}/status", encoding="utf-8", errors="replace") as file:
        told = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return told["Name"], told["PPid"], told["NSpid"].split()[-1]
