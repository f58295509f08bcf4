"""Detects clients: by their folders in a project and in the home directory, and their programs on PATH."""
from __future__ import annotations

import os

from ..base.errors import MilestoneError
from ..base.found import read_found
from . import sections
from .client_files import CLIENTS, Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN = ["shared"]  # all that is below .claude if we have made it though there is no client


def find_clients(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The clients used in a project or on this machine, and the evidence."""
    found = {name: _find_client(client, root, environ) for name, client in CLIENTS.items()}
    return {name: sign for name, sign in found.items() if sign}


def _find_client(client: Client, root: str, environ: Mapping[str, str]) -> str:
    marks = [mark for mark in client.marks if _is_of_others(os.path.join(root, mark))]
    return marks[0] if marks else is_on_this_machine(client, environ)


def is_on_this_machine(client: Client, environ: Mapping[str, str]) -> str:
    """The evidence that a client is used on this machine: its folder in the home directory, or its program."""
    import shutil

    home = environ.get("HOME", "")
    if home and _is_of_others(os.path.join(home, client.home)):
        return f"~/{client.home}"
    return shutil.which(client.program, path=environ.get("PATH", "")) or ""


def _is_of_others(path: str) -> bool:
    """Whether a file or folder exists that `install` cannot have made."""
    if not os.path.isdir(path):
        return os.path.lexists(path) and not (path.endswith(".md") and _is_our_section(path))
    try:
        return os.path.basename(path) != ".claude" or os.listdir(path) != _OWN
    except OSError:
        return True


def _is_our_section(path: str) -> bool:
    """Whether a document holds our section and nothing else: it was made for a client, which may be another."""
    try:
        text = (read_found(os.path.realpath(path)) or b"").decode("utf-8", "replace")
        return sections.take_out(text, {"made": True}, path) is None
    except MilestoneError:  # half a section, or what cannot be read
        return False
