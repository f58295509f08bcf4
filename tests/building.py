"""What is built of the project, once for all tests: a copy of its source tree, the sdist, the wheel made from it."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(command, cwd, stdin=None, **variables):
    """What a command prints, as bytes; it must succeed and complain of nothing."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(Path(cwd).parent), "PYTHONWARNINGS": "error", **variables}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environ, input=stdin, capture_output=True,
                          timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b""), f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout


def copy_tree(source, target):
    """Copy a folder with what Python has compiled there, but not what another process is just compiling."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc.*"))


def need_plugins():
    """Skip where plugins/ is left out, as from an sdist: never in a clone."""
    if not (ROOT / "plugins").exists() and not (ROOT / ".git").exists():
        pytest.skip("an sdist has no plugins/: python3 -m milestone_persist generate makes it")


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("built")


@pytest.fixture(scope="session")
def source(work):
    """The source tree without what was made in it, so that building leaves nothing behind in the real one."""
    made = ("*.egg-info", "__pycache__", ".git", ".milestones", ".venv*", "build", "dist", ".*_cache")
    return Path(shutil.copytree(ROOT, work / "source", ignore=shutil.ignore_patterns(*made)))


@pytest.fixture(scope="session")
def python(work):
    """The interpreter of a virtual environment that can build and install; it needs setuptools from PyPI."""
    run([sys.executable, "-m", "venv", work / "venv"], work, PYTHONWARNINGS="")
    made = work / "venv" / "bin" / "python"
    pip = [made, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "setuptools>=77"]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"setuptools 77 or later cannot be had from PyPI: {done.stderr.strip()}")
    return made


@pytest.fixture(scope="session")
def sdist(python, source, work):
    return _build(python, "sdist", source, work)


@pytest.fixture(scope="session")
def wheel(python, sdist, work):
    """The wheel as it is made from the sdist alone."""
    with tarfile.open(sdist) as archive:
        if sys.version_info >= (3, 12):
            archive.extractall(work / "unpacked", filter="data")
        else:
            archive.extractall(work / "unpacked")
    return _build(python, "wheel", next((work / "unpacked").iterdir()), work)


def _build(python, kind, tree, work):
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    out = subprocess.run([python, "-c", code, work], cwd=tree, capture_output=True, text=True, check=True).stdout
    return work / out.splitlines()[-1]
