"""Another user, and what a call says where that one may not write."""
from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import urllib.parse  # noqa: F401  the program needs it where another user may not read this Python
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def public():
    """A directory that every user can reach."""
    path = Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    yield path
    for folder, names, _ in os.walk(path):
        for name in names:
            if not os.path.islink(os.path.join(folder, name)):
                os.chmod(os.path.join(folder, name), 0o700)  # who is not root may not look into some otherwise
    shutil.rmtree(path)


@contextlib.contextmanager
def ordinary_user():
    """As a user for whom rights count; root becomes nobody."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def assert_sandbox_is_named(done, path):
    """What can be done without a second store: to let this one be written."""
    assert done.err.count("\n") == 1 and "MILESTONE_DIR" not in done.err
    assert f"writable; in a sandbox, allow {path} (" in done.err
    assert "writable_roots" in done.err and "allowWrite" in done.err
