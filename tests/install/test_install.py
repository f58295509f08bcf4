"""Installing into a project: the files are in their places, what was there is kept, and all of it goes again."""
from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import SHELLS
from install_project import ADAPTER, NAMES, PLACES, PROGRAM, SHARED, SOURCED, USE, files, git, tree

from milestone_persist.base.errors import Refused, StorageError
from milestone_persist.install import installation as install_module
from milestone_persist.install.file_changes import FileChanges
from milestone_persist.install.manifest import Item


def test_install_puts_the_files_into_their_places(milestone, project):
    done = milestone("install", "--functions-only")
    assert (done.status, done.err) == (0, "")
    assert files(project) == {*SOURCED, f"{SHARED}/installed.json"}
    assert str(PROGRAM) in done.out and "other clones need their own install" in done.out


@pytest.mark.parametrize("name", NAMES)
def test_the_functions_work_in_every_shell(milestone, shell, project, name):
    milestone("install")
    for sh in SHELLS:
        done = shell(sh, f"set -eu\n. ./{PLACES[0]}/{name}{USE}")
        assert (done.status, done.out, done.err) == (0, "its", ""), f"{sh}: {done}"


@pytest.mark.parametrize("name", ["storage-adapter.md", "milestone-recovery.md"])
def test_markdown_is_headings_and_code(milestone, project, name):
    milestone("install")
    lines = (project / PLACES[0] / name).read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("# ", "## ", "    "))] == []
    assert lines[0].startswith("# ") and "## Messages" in lines


def test_a_vendored_program_is_found_from_a_moved_clone(milestone, shell, project, vendored, tmp_path):
    done = milestone("install", program=vendored)
    assert "in every clone" in done.out
    contents = [content for _, content, _ in tree(project).values() if isinstance(content, bytes)]
    assert not [content for content in contents if str(tmp_path).encode() in content]
    clone = project.rename(tmp_path / "another clone")
    (tmp_path / "link").symlink_to(clone)
    for sh, path in [*((sh, ADAPTER) for sh in SHELLS), *(("dash", path) for path in SOURCED)]:
        done = shell(sh, f"set -eu\n. ./{path}{USE}", cwd=tmp_path / "link", HOME=None)
        assert (done.status, done.out, done.err) == (0, "its", ""), f"{sh}: {done}"


def test_installing_again_changes_nothing(milestone, project, tmp_path):
    words = ("install", "--claude-code", "--codex", "--gemini", "--bin", str(tmp_path / "bin"))
    milestone(*words)
    before = tree(tmp_path)
    done = milestone(*words)
    assert done.out.startswith("nothing is missing or stale\n")
    assert tree(tmp_path) == before
    (tmp_path / "link").symlink_to(project)
    milestone("install", tmp_path / "link")
    (tmp_path / "link").unlink()
    assert tree(tmp_path) == before


def test_uninstall_leaves_the_project_as_it_was(milestone, project):
    (project / "AGENTS.md").write_text("# Ours\nwithout a newline at the end")
    (project / ADAPTER).parent.mkdir(parents=True)
    (project / ADAPTER).write_text("a file of other origin\n")
    (project / ADAPTER).chmod(0o640)
    (project / PLACES[1]).parent.mkdir(parents=True)
    (project / PLACES[1]).symlink_to(f"../../../{PLACES[0]}")
    (project / SHARED).mkdir(parents=True)
    (project / SHARED / "storage-adapter.sh").symlink_to("nowhere")
    before, status = tree(project), git(project, "status", "--porcelain")
    done = milestone("install", "--claude-code", "--codex", "--gemini")
    assert f"kept: {ADAPTER} is now {ADAPTER}.orig" in done.out
    assert (project / f"{ADAPTER}.orig").read_text() == "a file of other origin\n"
    assert milestone("install", "--check").status == 0
    assert milestone("save-agent-state", "a", "k", "v").status == 0
    done = milestone("uninstall")
    assert (done.status, done.err) == (0, "")
    after = tree(project)
    assert after.pop("AGENTS.md")[:2] == before.pop("AGENTS.md")[:2]
    assert after == before
    assert git(project, "status", "--porcelain") == status


def test_no_two_installations_run_at_once(project, monkeypatch):
    seen, write = [], FileChanges.write

    def look_and_write(changes, path, *rest, **more):
        descriptor = os.open(project, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        seen.append(path)
        write(changes, path, *rest, **more)

    monkeypatch.setattr(FileChanges, "write", look_and_write)
    install_module.Installation(str(project), "m.json").install({"a": Item(b"1")})
    assert len(seen) == 2


def test_shellcheck_finds_nothing(milestone, call, need, project):
    milestone("install", ".", "--bin", "bin")
    for dialect in ("dash", "bash"):
        done = call(need("shellcheck"), "-s", dialect, f"{PLACES[0]}/storage-adapter.sh", "bin/milestone_persist")
        assert (done.status, done.out) == (0, "")


def test_uninstall_keeps_what_was_edited_or_added(milestone, project):
    milestone("install")
    (project / ADAPTER).write_text("edited\n")
    (project / SHARED / "notes.md").write_text("added\n")
    done = milestone("uninstall")
    assert "left, for it was edited in" in done.out
    assert files(project) == {ADAPTER, f"{SHARED}/notes.md"}
    assert milestone("uninstall").status == 1


def test_an_edited_file_is_kept_when_it_is_replaced(milestone, project):
    milestone("install")
    wanted = (project / ADAPTER).read_text()
    (project / ADAPTER).write_text("edited\n")
    (project / f"{ADAPTER}.orig").write_text("in the way\n")
    milestone("install")
    assert (project / ADAPTER).read_text() == wanted
    assert (project / f"{ADAPTER}.orig").read_text() == "in the way\n"
    assert (project / f"{ADAPTER}.orig.1").read_text() == "edited\n"


def test_upgrade_over_an_older_version(milestone, project, vendored):
    (project / ADAPTER).parent.mkdir(parents=True)
    (project / ADAPTER).write_text("a file of other origin\n")
    before = tree(project)
    adapter = vendored.parent / "generate" / "adapter.template.sh"
    server = vendored.parent / "install" / "client_files.py"
    new = adapter.read_text(), server.read_text()
    adapter.write_text(new[0].replace("# Shell functions of", "# Older shell functions of"))
    server.write_text(new[1].replace('"milestone"', '"old-name"'))
    assert milestone("install", "--claude-code", program=vendored).status == 0
    assert (project / ".claude" / "skills" / "old-name" / "SKILL.md").exists()
    adapter.write_text(new[0])
    server.write_text(new[1])
    done = milestone("install", "--check", program=vendored)
    assert done.status == 1 and f"stale in {project}/{PLACES[0]}: milestone-recovery.md, storage-" in done.out
    milestone("install", program=vendored)
    assert milestone("install", "--check", program=vendored).status == 0
    assert "old-name" not in (project / ".mcp.json").read_text()
    assert not list(project.rglob("*old-name*")) and len(list(project.rglob("*.orig"))) == 1
    milestone("uninstall", program=vendored)
    assert set(tree(project)) == set(before) and tree(project)[ADAPTER] == before[ADAPTER]


def test_check_and_dry_run_tell_and_change_nothing(milestone, project):
    before = tree(project)
    done = milestone("install", "--check", "--codex", "--bin", "bin")
    assert done.status == 1 and done.err.count("\n") == 1
    assert f"missing in {project}: AGENTS.md" in done.out
    done = milestone("install", "--dry-run", "--codex", "--bin", "bin")
    assert done.status == 0 and f"missing in {project}: AGENTS.md" in done.out
    assert tree(project) == before
    milestone("install")
    (project / ADAPTER).unlink()
    (project / PLACES[0] / "storage-adapter.sh").write_text("other\n")
    before = tree(project)
    done, place = milestone("install", "--check"), project / PLACES[0]
    assert (done.status, done.out.splitlines()[:2]) == (1, [
        f"missing in {place}: storage-adapter.md", f"foreign in {place}: storage-adapter.sh"])
    assert milestone("uninstall", "--dry-run").status == 0
    assert tree(project) == before


@pytest.mark.parametrize("umask, mode", [(0o000, 0o644), (0o077, 0o600)])
def test_modes_follow_the_umask_but_let_nobody_else_write(milestone, call, project, umask, mode):
    code = f"import os, subprocess, sys; os.umask({umask}); sys.exit(subprocess.call(sys.argv[1:]))"
    assert call(sys.executable, "-c", code, sys.executable, PROGRAM, "install", ".", "--bin", "bin").status == 0
    assert (project / ADAPTER).stat().st_mode & 0o777 == mode
    assert (project / "bin" / "milestone_persist").stat().st_mode & 0o777 == mode | (0o111 & ~umask)
    assert milestone("uninstall", ".", "--bin", "bin").status == 0


def as_user(need):
    """Words before a command that make it obey permissions even if the tests run as root."""
    return [] if os.geteuid() else [need("setpriv"), "--inh-caps=-all", "--bounding-set=-dac_override"]


def test_a_read_only_home_and_none_at_all(milestone, call, need, tmp_path, project):
    home = tmp_path / "home"
    home.mkdir(0o500)
    for value in (str(home), None):
        done = call(*as_user(need), sys.executable, PROGRAM, "install", "--claude-code", HOME=value)
        assert (done.status, done.err) == (0, "")


def test_a_place_that_cannot_be_written_leaves_nothing_half_done(call, need, project):
    (project / PLACES[3]).mkdir(parents=True)
    (project / PLACES[3]).chmod(0o500)
    (project / ADAPTER).parent.mkdir(parents=True)
    (project / ADAPTER).write_text("a file of other origin\n")
    before = tree(project)
    done = call(*as_user(need), sys.executable, PROGRAM, "install", "--claude-code", "--codex")
    assert (done.status, done.out, done.err.count("\n")) == (3, "", 1)
    assert PLACES[3] in done.err and "nothing was changed" in done.err
    assert tree(project) == before
    (project / PLACES[3]).chmod(0o700)


class Killed(BaseException):
    """Not an error that anything catches: as if the process were killed."""


@pytest.mark.parametrize("kind", [OSError(28, "No space left on device", "x"), Killed()], ids=["full", "killed"])
def test_an_installation_that_ends_at_any_write(project, monkeypatch, kind):
    """A failure takes everything back; after a kill, the next installation and its end leave nothing behind."""
    (project / "b").mkdir()
    (project / "b" / "storage-adapter.sh").write_text("mine\n")
    before = tree(project)
    wanted = {"a/milestone_persist": Item(b"1"), "b/storage-adapter.sh": Item(b"2"),
              "link": Item(target="milestone_persist")}
    real, count, times = os.replace, 0, 0

    def replace(old, new):
        nonlocal count
        count -= 1
        if count < 0:
            raise kind
        real(old, new)

    while True:
        count, times = times, times + 1
        monkeypatch.setattr(os, "replace", replace)
        if isinstance(kind, Killed):
            monkeypatch.setattr(FileChanges, "take_back", lambda self: [])
        try:
            install_module.Installation(str(project), "m.json").install(wanted, {"AGENTS.md": "text"})
            break
        except (StorageError, Killed):
            monkeypatch.setattr(os, "replace", real)
            if not isinstance(kind, Killed):
                assert {path: what[:2] for path, what in tree(project).items()} == {
                    path: what[:2] for path, what in before.items()}
                continue
            assert (project / "b" / "storage-adapter.sh").exists()
            shutil.rmtree(project.parent / "copy", ignore_errors=True)
            shutil.copytree(project, project.parent / "copy", symlinks=True)
            end(project.parent / "copy")
            assert [*tree(project.parent / "copy")] == [*before]
            install_module.Installation(str(project), "m.json").install(wanted, {"AGENTS.md": "text"})
            assert (project / "b" / "storage-adapter.sh").read_text() == "2"
            install_module.Installation(str(project), "m.json").uninstall()
            assert tree(project) == before
    assert times > 4
    assert Path(project / "b" / "storage-adapter.sh").read_text() == "2"


def end(project):
    try:
        install_module.Installation(str(project), "m.json").uninstall()
    except Refused as error:
        assert "nothing was installed" in str(error)


def test_an_end_that_is_killed_at_any_change_is_completed_by_the_next(project, monkeypatch):
    (project / "storage-adapter.sh").write_text("mine\n")
    (project / "AGENTS.md").write_text("mine\n")
    (project / ".mcp.json").write_text('{"a":   1}')
    before, reals, times = tree(project), {name: getattr(os, name) for name in ("unlink", "rmdir", "replace")}, 0
    monkeypatch.setattr(FileChanges, "take_back", lambda self: [])
    while True:
        install_module.Installation(str(project), "m.json").install(
            {"a/b/milestone_persist": Item(b"1"), "storage-adapter.sh": Item(b"2")},
            {"AGENTS.md": "text", ".mcp.json": {("mcpServers", "milestone"): {"command": "x"}}})
        left = times

        def die(name):
            def call(*given):
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                reals[name](*given)
            return call

        for name in reals:
            monkeypatch.setattr(os, name, die(name))
        try:
            end(project)
            break
        except Killed:
            times += 1
        finally:
            for name, real in reals.items():
                monkeypatch.setattr(os, name, real)
        assert (project / "storage-adapter.sh").read_text() in ("mine\n", "2")
        end(project)
        assert {path: what[:2] for path, what in tree(project).items()} == {
            path: what[:2] for path, what in before.items()}
    assert times > 8
