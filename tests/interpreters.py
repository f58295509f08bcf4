"""Other interpreters on this machine."""
from __future__ import annotations

import glob
import os
from pathlib import Path


def find_interpreters():
    """Those that pyenv keeps and this user may run, the newest of each version: {"3.8": path}."""
    home = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    return {path.parts[-3].rpartition(".")[0]: path
            for path in map(Path, sorted(glob.glob(f"{glob.escape(home)}/versions/[23].*.*/bin/python")))}
