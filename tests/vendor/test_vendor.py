"""Copies of the program, as a folder and as one file: complete, the same every time, and never in the way of others."""
from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from types import CodeType

import pytest
from building import run
from conftest import ROOT, Result
from forms import PLACE, check_adapter, check_command
from interpreters import find_interpreters

from milestone_persist import __version__
from milestone_persist.cli.main import Console, main
from milestone_persist.vendor import copies as vendoring
from milestone_persist.vendor import replace as replacing

PROGRAM = ROOT / "milestone_persist" / "__main__.py"
PYTHON = [sys.executable, "-I", "-S"]


def vendor(*words):
    """Runs `vendor` in this process."""
    out, err = io.BytesIO(), io.BytesIO()
    return Result(main(["vendor", *map(str, words)], Console(io.BytesIO(), out, err, {})), out.getvalue(),
                  err.getvalue())


def tree(folder):
    """Every file below a folder: its path and bytes; a link as such."""
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
            for path in Path(folder).rglob("*") if path.is_symlink() or path.is_file()}


def snapshot(path):
    """What is at a path and around it."""
    return tree(path.parent), path.stat().st_ino if path.exists() else None


@pytest.fixture(scope="session")
def made(work):
    """A folder with a copy and a zipapp, which tests copy."""
    assert vendor(work / "vendored" / "copy").status == 0
    assert vendor("--zipapp", work / "vendored" / "m.pyz").status == 0
    return work / "vendored"


@pytest.fixture
def copy(made, tmp_path):
    return Path(shutil.copytree(made / "copy", tmp_path / "copy"))


@pytest.fixture
def zipapp(made, tmp_path):
    return Path(shutil.copy(made / "m.pyz", tmp_path))


@pytest.fixture
def project(tmp_path):
    """A user's project to work in."""
    made = tmp_path / "project"
    made.mkdir()
    return made


def sign(copy):
    """Write the digests of a copy as they are now: then it is one that some other version made."""
    names = sorted(name for name in tree(copy) if name != "SHA256SUMS" and "__pycache__" not in name)
    lines = [f"{hashlib.sha256((copy / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (copy / "SHA256SUMS").write_text("".join(lines))


def make_older(copy, version="0.0.9"):
    (copy / "VERSION").write_text(version + "\n")
    (copy / "milestone_persist" / "gone_since.py").write_text("")
    sign(copy)


# What a copy is


def test_a_folder_works_wherever_it_is_moved(copy, project, tmp_path):
    moved = copy.rename(tmp_path / PLACE)
    check_command([*PYTHON, moved / "milestone_persist" / "__main__.py"], project)
    check_command([*PYTHON, moved / "milestone_persist"], project)
    shutil.rmtree(project / ".milestones")
    check_adapter(moved / "shell" / "storage-adapter.sh", project)


@pytest.mark.parametrize("flags", [[], ["-I", "-S"], ["-OO"], ["-b"]], ids=lambda flags: " ".join(flags) or "plain")
def test_a_zipapp_works_wherever_it_is_moved(zipapp, project, tmp_path, flags):
    check_command([sys.executable, *flags, zipapp.rename(tmp_path / PLACE)], project)


def test_a_zipapp_is_run_by_name_from_beside_it(zipapp, project):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    check_command([f"./{zipapp.rename(project / 'tool').name}"], project, PATH=path)


def test_a_copy_holds_the_program_and_nothing_else(copy, zipapp):
    files = set(tree(copy))
    named = {f"{path.relative_to(ROOT)}" for folder in ("milestone_persist", "sql", "shell", "agents")
             for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"
             and path.parent != ROOT / "sql" / "history"}
    assert {name for name in files if not name.endswith(".pyc")} == {
        *named, "LICENSE", "VERSION", "SHA256SUMS", ".gitignore"}
    assert (copy / "VERSION").read_text() == f"{__version__}\n"
    assert (copy / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    with zipfile.ZipFile(zipapp) as archive:
        assert {name for name in archive.namelist() if not name.endswith(".pyc")} == {
            *named, "LICENSE", "VERSION", "SHA256SUMS", "__main__.py"}


def test_sha256sum_agrees_with_the_list(copy, zipapp, tmp_path, need):
    with zipfile.ZipFile(zipapp) as archive:
        archive.extractall(tmp_path / "unpacked")
    for folder in (copy, tmp_path / "unpacked"):
        run([need("sha256sum"), "--check", "--strict", "--quiet", "SHA256SUMS"], folder)


def test_git_takes_the_copy_and_not_what_python_keeps_in_it(copy, need):
    git = [need("git"), "-C", copy, "-c", "safe.directory=*"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    tracked = subprocess.run([*git, "ls-files", "-z"], check=True, capture_output=True, text=True).stdout.split("\0")
    wanted = (copy / "SHA256SUMS").read_text().splitlines()
    assert {name for name in tracked if name} == {"SHA256SUMS", *(line.partition("  ")[2] for line in wanted)}


@pytest.mark.parametrize("mask, folder, file, one_file", [(0o077, 0o700, 0o600, 0o700), (0o022, 0o755, 0o644, 0o755)])
def test_who_may_read_a_copy_is_for_the_umask_to_say(tmp_path, mask, folder, file, one_file):
    old = os.umask(mask)
    try:
        vendor(tmp_path / "copy"), vendor("--zipapp", tmp_path / "m.pyz")
    finally:
        os.umask(old)
    for path, mode in (("copy", folder), ("copy/sql", folder), ("copy/LICENSE", file), ("m.pyz", one_file)):
        assert (tmp_path / path).stat().st_mode & 0o777 == mode, path


# The same, whatever makes it


def test_every_form_makes_the_same_copies(copy, zipapp, wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    forms = {"checkout": [*PYTHON, PROGRAM], "copy": [*PYTHON, copy / "milestone_persist"], "zipapp": [zipapp],
             "installed": [*PYTHON, tmp_path / "site" / "milestone_persist"],
             "wheel": [sys.executable, "-S", "-m", "milestone_persist"]}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for name, command in forms.items():
        for words in ([tmp_path / name], ["--zipapp", tmp_path / f"{name}.pyz"]):
            run([*command, "vendor", *words], tmp_path, PYTHONPATH=wheel if name == "wheel" else "", PATH=path)
        assert tree(tmp_path / name) == tree(copy), name
        assert (tmp_path / f"{name}.pyz").read_bytes() == zipapp.read_bytes(), name


def test_no_code_has_a_set_of_constants():
    """Python 3.9 writes the byte code of one in the order of its hashes: no two copies would be the same."""
    def find_sets(code):
        return [each for each in code.co_consts if isinstance(each, frozenset)] + [
            found for each in code.co_consts if isinstance(each, CodeType) for found in find_sets(each)]

    for path in (ROOT / "milestone_persist").rglob("*.py"):
        assert find_sets(compile(path.read_text(), str(path), "exec", dont_inherit=True)) == [], path


def test_vendoring_the_same_again_changes_nothing(copy, zipapp):
    before = snapshot(copy), snapshot(zipapp)
    assert vendor(copy).text.startswith(f"unchanged: {copy} (version {__version__})\n")
    assert vendor("--zipapp", zipapp).text.startswith(f"unchanged: {zipapp} ")
    assert (snapshot(copy), snapshot(zipapp)) == before


def test_the_command_that_vendor_prints_works(tmp_path, project):
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for words in ([tmp_path / PLACE], ["--zipapp", tmp_path / f"{PLACE}.pyz"]):
        command = vendor(*words).text.splitlines()[-1].partition("Run next: ")[2]
        text = command + "; initialize_agent_coordination >/dev/null; save_agent_state a k v; load_agent_state a k"
        assert run(["sh", "-euc", text], project, **environ) == b"v"


# Byte code


def count_compiled(command, cwd):
    """How many of our modules Python has to compile in a run; the file that is run is always one."""
    start = ("import os, runpy, sys; sys.argv = sys.argv[1:]; sys.addaudithook(lambda event, args: event == 'compile' "
             "and 'milestone_persist' in str(args[1]) and os.write(1, b'compiled ')); "
             "runpy.run_path(sys.argv[0], run_name='__main__')")
    return run([sys.executable, "-I", "-S", "-B", "-c", start, *command], cwd).count(b"compiled")


def test_a_copy_holds_byte_code(copy, zipapp, project):
    words = ["load-agent-state", "a", "k", "default"]
    assert count_compiled([copy / "milestone_persist" / "__main__.py", *words], project) <= 1
    assert count_compiled([zipapp, *words], project) == 0
    for folder in [*copy.rglob("__pycache__")]:
        shutil.rmtree(folder)
    assert count_compiled([copy / "milestone_persist" / "__main__.py", *words], project) > 5


def test_an_edited_source_counts(copy, project):
    source = copy / "milestone_persist" / "base" / "__init__.py"
    state = source.stat()
    source.write_text(source.read_text().replace(f'"{__version__}"', '"9.8.7"'))
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run([*PYTHON, copy / "milestone_persist", "--version"], project) == b"milestone_persist 9.8.7\n"


def test_another_version_of_python_runs_a_copy_from_the_source(zipapp, project, tmp_path):
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(zipapp) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"\0\0\r\n" + old.read(name)[4:] if name.endswith(".pyc") else old.read(name))
    check_command([*PYTHON, other], project)


@pytest.mark.optional
@pytest.mark.parametrize("version", sorted({"3.9", "3.10", "3.11", "3.12", "3.13"} - {"%d.%d" % sys.version_info[:2]}))
def test_other_interpreters_run_a_copy_that_this_one_made(copy, zipapp, project, version):
    python = find_interpreters().get(version) or pytest.skip(f"no Python {version} in pyenv")
    for path in (copy / "milestone_persist", zipapp):
        check_command([python, "-I", "-S", path], project)
        shutil.rmtree(project / ".milestones")


@pytest.mark.optional
@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8"])
def test_an_old_python_hands_a_zipapp_over_to_a_newer_one(zipapp, project, version):
    python = find_interpreters().get(version) or pytest.skip(f"no Python {version} in pyenv")
    done = subprocess.run([python, zipapp, "--version"], env={"PATH": "/nowhere"}, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1) and "Python 3.9 or later is needed" in done.stderr
    (project / f"python3.{sys.version_info[1]}").symlink_to(sys.executable)
    assert run([python, zipapp, "--version"], project, PATH=str(project)).decode().endswith(f"{__version__}\n")


# Into the place of something


@pytest.mark.parametrize("there", ["file", "folder", "git repository", "dangling link", "link to a file"])
def test_what_is_no_copy_is_left_alone(tmp_path, there):
    place = tmp_path / "place"
    if "link" in there:
        place.symlink_to(tmp_path / "end")
        if there == "link to a file":
            (tmp_path / "end").write_text("mine")
    elif there == "file":
        place.write_text("mine")
    else:
        (place / ".git").mkdir(parents=True)
        (place / "SHA256SUMS" if there == "folder" else place / ".git" / "HEAD").write_text("00  mine\n")
    before = tree(tmp_path)
    if there != "dangling link":  # that is a place where nothing is yet
        assert refused(vendor(place)) and tree(tmp_path) == before
    assert place.is_dir() or there == "dangling link" or refused(vendor("--zipapp", place))
    assert tree(tmp_path) == before


def refused(done):
    return done.status == 2 and done.out == b"" and done.err.count("\n") == 1


def test_an_empty_and_a_missing_folder_are_filled_with_a_copy(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for place in (tmp_path / "link", tmp_path / "new" / "deep"):
        assert vendor(place).text.startswith("written: ")
        assert vendor("--check", place).status == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "empty" / "LICENSE").exists()


def test_an_older_copy_is_replaced(copy, zipapp):
    fresh = tree(copy)
    make_older(copy)
    assert vendor(copy).text.startswith("written: ")
    assert tree(copy) == fresh
    assert {path.name for path in copy.parent.iterdir()} == {"copy", "m.pyz"}


def test_an_older_zipapp_is_replaced(zipapp, tmp_path):
    fresh = zipapp.read_bytes()
    with zipfile.ZipFile(zipapp) as archive:
        archive.extractall(tmp_path / "unpacked")
    for path in (tmp_path / "unpacked").rglob("*.pyc"):
        path.unlink()
    make_older(tmp_path / "unpacked")
    with zipfile.ZipFile(zipapp, "w") as archive:
        for name, data in tree(tmp_path / "unpacked").items():
            archive.writestr(name, data)
    done = vendor("--check", zipapp)
    assert done.status == 1 and f"version 0.0.9, this is {__version__}" in done.err
    assert vendor("--zipapp", zipapp).status == 0
    assert zipapp.read_bytes() == fresh


@pytest.mark.parametrize("change", ["extra", "changed"])
def test_a_copy_with_something_of_the_users_own_is_not_replaced(copy, change):
    make_older(copy)
    (copy / {"extra": "notes.md", "changed": "LICENSE"}[change]).write_text("mine")
    before = tree(copy)
    done = vendor(copy)
    assert refused(done) and change in done.err
    assert tree(copy) == before


def test_a_copy_that_lacks_files_is_made_whole(copy):
    fresh = tree(copy)
    (copy / "LICENSE").unlink()
    assert vendor(copy).status == 0
    assert tree(copy) == fresh


def test_not_under_the_feet_of_a_shell(copy, monkeypatch):
    make_older(copy)
    for place in (copy, copy / "sql"):
        monkeypatch.chdir(place)
        assert refused(vendor(copy))
    monkeypatch.chdir(copy.parent)
    assert vendor("copy").status == 0


def test_only_one_at_a_time(copy):
    make_older(copy)
    descriptor = os.open(copy.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = vendor(copy)
    finally:
        os.close(descriptor)
    assert (done.status, done.err.count("\n")) == (1, 1) and "try again" in done.err


def test_a_place_that_cannot_be_written():
    for place in ("/proc/nothing/copy", "/dev/null/copy"):
        for words in ([place], ["--zipapp", place]):
            done = vendor(*words)
            assert (done.status, done.out, done.err.count("\n")) == (3, b"", 1)
            assert place in done.err


def test_a_full_disk_leaves_what_was_there(copy, monkeypatch):
    make_older(copy)
    before = tree(copy.parent)
    rename = os.rename

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replacing, "exchange", lambda one, other: False)
    monkeypatch.setattr(os, "rename", fail)
    assert vendor(copy).status == 3
    assert tree(copy.parent) == before
    monkeypatch.setattr(os, "rename", lambda old, new: fail() if old.endswith(".new") else rename(old, new))
    assert vendor(copy).status == 3
    assert tree(copy.parent) == before


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(copy, monkeypatch, can_exchange):
    """Killed before a change of the file system, once for each kind of change after each kind; then it is run again.

    Where two folders cannot be exchanged, there is a moment with neither: running it again fixes that.
    """
    code = vendoring.compile_files({**vendoring.folder_files()}, vendoring.CHECKED)
    monkeypatch.setattr(vendoring, "compile_files", lambda files, flags: code)
    if not can_exchange:
        monkeypatch.setattr(replacing, "exchange", lambda one, other: False)
    new = tree(copy)
    make_older(copy)
    old, saved, seen = tree(copy), copy.with_name("saved"), set()
    shutil.copytree(copy, saved)
    events = run_until(10_000, copy)
    for step in {pair: step for step, pair in enumerate(zip(["", *events], events))}.values():
        shutil.rmtree(copy)
        shutil.copytree(saved, copy)
        assert len(run_until(step, copy)) == step
        found = tree(copy)
        seen.add("old" if found == old else "new" if found == new else "neither" if found else "nothing")
        assert vendor(copy).status == 0
        assert tree(copy) == new and {path.name for path in copy.parent.iterdir()} == {"copy", "saved"}
    assert seen == {"old", "new"} | ({"nothing"} if not can_exchange else set())


CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "ctypes.dlsym"}


def run_until(last, copy):
    """The changes of the file system that a process makes which vendors, and is killed before one more than `last`."""
    child, log = os.fork(), copy.parent.parent / "events"
    if child == 0:
        events = []

        def hook(event, args):
            if event in CHANGES or event == "open" and args[1] == "xb":
                if len(events) == last:
                    log.write_text(" ".join(events))
                    os.kill(os.getpid(), signal.SIGKILL)
                events.append(event)

        sys.addaudithook(hook)
        status = vendor(copy).status
        log.write_text(" ".join(events))
        os._exit(status)
    assert os.waitpid(child, 0)[1] in (0, signal.SIGKILL)
    return log.read_text().split()


# Drift


def test_checking_a_copy_names_what_has_drifted(copy):
    assert vendor("--check", copy).text == f"version {__version__}: {copy}\n"
    (copy / "milestone_persist" / "cli" / "main.py").write_text("changed")
    (copy / "sql" / "milestone-coordination.sql").unlink()
    (copy / "shell" / "extra.sh").write_text("")
    (copy / "linked").symlink_to("/")
    (copy / "milestone_persist" / "__pycache__" / "x.cpython-30.pyc").write_text("Python's own business")
    done = vendor("--check", copy)
    assert done.status == 1
    assert done.text == ("extra: linked\nchanged: milestone_persist/cli/main.py\nextra: shell/extra.sh\n"
                         "missing: sql/milestone-coordination.sql\n")
    assert done.err == f"milestone_persist: {copy} is not as it was copied: remove it, then vendor it again\n"
    data = json.loads(vendor("--check", copy, "--json").text)
    assert data["drift"][1] == {"file": "milestone_persist/cli/main.py", "drift": "changed"}


@pytest.mark.parametrize("version", ["0.0.9", "99.1", __version__])
def test_another_version_is_drift(copy, version):
    make_older(copy, version)
    done = vendor("--check", copy)
    assert done.status == 1
    assert ("another build" if version == __version__ else f"version {version}, this is {__version__}") in done.err


def test_a_tampered_zipapp_is_noticed(zipapp):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(zipapp, "a") as archive:
        archive.writestr("milestone_persist/cli/main.pyc", b"")
    done = vendor("--check", zipapp)
    assert (done.status, done.text) == (1, "changed: milestone_persist/cli/main.pyc\n")


def test_a_check_of_what_is_no_copy(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path, tmp_path / "nowhere"):
        done = vendor("--check", place)
        assert (done.status, done.out, done.err.count("\n")) == (1, b"", 1)


def test_a_copy_can_check_itself(copy, zipapp, project):
    for program, path in ((copy / "milestone_persist", copy), (zipapp, zipapp)):
        run([*PYTHON, program, "vendor", "--check", path], project)


def test_bad_usage_of_vendor_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in ([], ["a", "--zipapp", "b"], ["--check"], ["--zipapp", ""]):
        assert refused(vendor(*words))
    assert list(tmp_path.iterdir()) == []


def test_no_copy_goes_without_the_licence(source, tmp_path):
    copy = Path(shutil.copytree(source, tmp_path / "no licence"))
    (copy / "LICENSE").unlink()
    done = subprocess.run([*PYTHON, copy / "milestone_persist", "vendor", tmp_path / "copy"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert not (tmp_path / "copy").exists()
