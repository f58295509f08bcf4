"""Which data directory is used, from wherever a call is made."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from users import NOBODY, assert_sandbox_is_named, ordinary_user, public  # noqa: F401

from milestone_persist.base.location import find_data_directory

AT_TOP = "none upward from the current directory: it will be made at the top of the repository"


@pytest.fixture
def project(tmp_path):
    """A git repository with one commit, below a home."""
    place = tmp_path / "home" / "project"
    (place / "src" / "deep").mkdir(parents=True)
    git(place, "init", "-q")
    git(place, "commit", "-q", "--allow-empty", "-m", "first")
    return place


def git(place, *words):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    given = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *given, *words], cwd=place, check=True, capture_output=True,
                   env={"PATH": os.environ["PATH"], "HOME": str(place), "GIT_CONFIG_NOSYSTEM": "1"})


def find(cwd, home="", **variables):
    path, reason = find_data_directory(str(cwd), {"HOME": str(home), **variables})
    return Path(path), reason


def make(folder):
    (folder / ".milestones").mkdir()
    return folder / ".milestones"


def test_where_there_is_no_data_directory_one_is_made_in_the_current_directory(tmp_path):
    assert find(tmp_path, tmp_path) == (tmp_path / ".milestones",
                                        "none upward from the current directory: it will be made here")


def test_the_nearest_upward(project):
    outer = make(project)
    assert find(project / "src" / "deep") == (outer, "nearest one upward from the current directory")
    inner = make(project / "src")
    assert find(project / "src" / "deep")[0] == inner
    assert find(project)[0] == outer


def test_a_file_of_that_name_is_passed_over(project):
    outer = make(project)
    (project / "src" / ".milestones").touch()
    assert find(project / "src" / "deep")[0] == outer


@pytest.mark.parametrize("given", ["elsewhere", "./elsewhere/", "deep/../elsewhere"])
def test_MILESTONE_DIR_comes_first_and_may_be_relative(project, given):
    make(project)
    assert find(project / "src", MILESTONE_DIR=given) == (project / "src" / "elsewhere", "MILESTONE_DIR is set")
    assert find(project / "src", MILESTONE_DIR=str(project / "x"))[0] == project / "x"
    assert find(project / "src", MILESTONE_DIR="")[0] == project / ".milestones"


def test_not_past_the_top_of_the_repository(project):
    make(project.parent)
    assert find(project / "src") == (project / ".milestones", AT_TOP)


def test_a_new_one_is_made_at_the_top_of_the_repository(project, program):
    for folder in ("src", "src/deep"):
        assert program("initialize-agent-coordination", cwd=project / folder).status == 0
    assert [*project.rglob(".milestones")] == [project / ".milestones"]


def test_a_home_below_the_top_of_the_repository_is_the_end_of_the_search(project):
    home = project / "src"
    assert find(home / "deep", home)[0] == home / "deep" / ".milestones"


def test_a_home_that_is_a_repository_counts_as_one(project):
    assert find(project / "src" / "deep", project)[0] == project / ".milestones"


def put_folder(path):
    path.mkdir()
    (path / "config").touch()


NO_TOP = {"folder": Path.mkdir, "a folder without HEAD": put_folder, "file": Path.touch, "pipe": os.mkfifo,
          "text": lambda path: path.write_text("nonsense"), "no place": lambda path: path.write_text("gitdir: \n"),
          "bytes": lambda path: path.write_bytes(b"\xff: x"), "NUL": lambda path: path.write_text("gitdir: \0"),
          "device": lambda path: path.symlink_to(os.devnull), "a link to nothing": lambda path: path.symlink_to("x")}


@pytest.mark.parametrize("kind", NO_TOP)
@pytest.mark.parametrize("is_made", [False, True])
def test_a_git_without_a_repository_is_no_top(project, kind, is_made):
    """A sandbox puts an empty one into its working directory."""
    git(project, "worktree", "add", "-q", project.parent / "two")
    if is_made:
        make(project)
    for cwd in (project / "src", project.parent / "two" / "src"):
        cwd.mkdir(exist_ok=True)
        NO_TOP[kind](cwd / ".git")
        assert find(cwd)[0] == project / ".milestones"


def test_a_git_of_another_user_that_nobody_may_look_into_is_a_top(public):  # noqa: F811
    (public / "project" / ".git").mkdir(parents=True)
    (public / "project" / "src").mkdir()
    (public / "project" / ".git" / "HEAD").touch()
    (public / "project" / ".git").chmod(0)
    with ordinary_user():
        assert find(public / "project" / "src") == (public / "project" / ".milestones", AT_TOP)


def test_worktrees_of_a_bare_repository_share_the_one_beside_it(project):
    place = project.parent / "bare"
    git(project, "clone", "-q", "--bare", project, place / ".bare")
    (place / ".git").write_text("gitdir: ./.bare\n")
    for name in ("one", "two"):
        git(place, "worktree", "add", "-q", place / name)
        assert find(place / name)[0] == place / ".milestones"
    (place / ".git").unlink()
    assert find(place / "one")[0] == place / "one" / ".milestones", "nothing says whose the folder above it is"


def test_the_search_for_a_data_directory_ends_at_home(tmp_path):
    make(tmp_path)
    home = tmp_path / "home"
    (home / "a" / "b").mkdir(parents=True)
    assert find(home / "a" / "b", home)[0] == home / "a" / "b" / ".milestones"
    link = tmp_path / "link to home"
    link.symlink_to(home)
    assert find(home / "a" / "b", link)[0] == home / "a" / "b" / ".milestones"
    mine = make(home)
    assert find(home / "a" / "b", home)[0] == mine
    assert find(home / "a" / "b")[0] == mine


def test_a_linked_worktree_uses_that_of_the_main_one(project):
    inside, beside = project / ".worktrees" / "one", project.parent / "two"
    git(project, "worktree", "add", "-q", inside)
    git(project, "worktree", "add", "-q", beside)
    (beside / "src").mkdir()
    for cwd, top in ((inside, inside), (beside, beside), (beside / "src", beside)):
        assert find(cwd) == (project / ".milestones", f"main worktree of the linked git worktree {top}")
    make(project)
    assert find(beside / "src")[0] == project / ".milestones"
    own = make(beside)
    assert find(beside / "src")[0] == own


@pytest.mark.parametrize("name", [b"caf\xe9", "ü".encode(), b" a b ", b"it's", b'"', b"$x", b"a\nb", b"a\\b",
                                  b"gitdir: a"])
def test_a_linked_worktree_is_one_whatever_the_folder_is_called(project, name):
    try:
        main = project.rename(project.parent / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes no such name")
    beside = project.parent / os.fsdecode(name + b"2")
    git(main, "worktree", "add", "-q", "--detach", beside)
    assert find(beside) == (main / ".milestones", f"main worktree of the linked git worktree {beside}")


def test_a_submodule_is_a_repository_of_its_own(project, tmp_path):
    make(project)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "first")
    git(project, "submodule", "add", "-q", str(other), "sub")
    assert find(project / "sub")[0] == project / "sub" / ".milestones"


def test_a_worktree_whose_repository_is_out_of_sight_is_a_top(tmp_path):
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    (tmp_path / "src").mkdir()
    assert find(tmp_path / "src") == (tmp_path / ".milestones", AT_TOP)


def test_a_project_reached_through_a_link_is_the_same(project, tmp_path, program):
    link = tmp_path / "link"
    link.symlink_to(project)
    assert program("save-agent-state", "a", "k", "v", cwd=link).status == 0
    assert program("load-agent-state", "a", "k", cwd=project).text == "v"


def test_all_places_of_a_project_reach_one_store(project, program):
    git(project, "worktree", "add", "-q", project.parent / "two")
    assert program("save-agent-state", "a", "k", "v", cwd=project.parent / "two").status == 0
    for cwd in (project, project / "src", project / "src" / "deep", project.parent / "two"):
        assert program("load-agent-state", "a", "k", cwd=cwd).text == "v"
    git(project, "check-ignore", ".milestones/coordination.db")  # never committed


# On PostgreSQL the store may be there before its directory.
@pytest.mark.parametrize("backend", ["file", "hybrid"], indirect=True)
def test_where_says_which_and_why(project, program):
    git(project, "worktree", "add", "-q", project.parent / "two")
    two = project.parent / "two"
    lines = program("where", cwd=two).text.splitlines()
    assert lines[0].startswith(f"{project}/.milestones")
    assert lines[1] == f"why: main worktree of the linked git worktree {two}"
    assert not (project / ".milestones").exists(), "looking made it"
    assert program("where", cwd=two, MILESTONE_DIR="x").text.splitlines()[1] == "why: MILESTONE_DIR is set"
    assert program("--dir", "x", "where", cwd=two).text.splitlines()[:1] == [f"{two}/x (not made yet)"]


def test_a_data_directory_of_another_user_above_is_not_trusted(public):  # noqa: F811
    if os.geteuid() != 0:
        pytest.skip("only root can make a directory of another user")
    theirs, work = make(public), public / "work"
    work.mkdir()
    theirs.chmod(0o777)
    with ordinary_user():
        assert find(work)[0] == work / ".milestones"
    os.chown(theirs, NOBODY, NOBODY)
    with ordinary_user():
        assert find(work)[0] == theirs


@pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)  # the server is the user's own
def test_a_place_that_cannot_be_written(public, cli):  # noqa: F811
    assert cli("save-agent-state", "a", "k", "v").status == 0  # every module is loaded while all can be read
    locked = public / "locked"
    locked.mkdir(mode=0o555)
    with ordinary_user():
        done = cli("save-agent-state", "a", "k", "v", MILESTONE_DIR=str(locked / "m"))
    assert (done.status, done.out) == (3, b"")
    assert_sandbox_is_named(done, locked / "m")


@pytest.mark.parametrize("what", ["the files", "the directory", "a folder in it"])
@pytest.mark.parametrize("backend", ["file", "hybrid", "database"], indirect=True)
def test_a_store_that_cannot_be_written(what, public, cli):  # noqa: F811
    here, link = public / "m", public / "link"
    link.symlink_to(here)
    assert cli("save-agent-state", "a", "k", "v", MILESTONE_DIR=str(here)).status == 0
    assert cli("initialize-storage-system", MILESTONE_DIR=str(here)).status == 0
    if os.geteuid() == 0:
        for path in (here, *here.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    words = ["save-agent-state", "a", "k", "w"]
    if what == "the files":
        for path in here.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        here.chmod(0o500)
    elif what == "the directory":
        here.chmod(0o500)
    else:
        (here / "logs").chmod(0o500)
        words = ["log-milestone-event", "x"]
    with ordinary_user():
        done = cli(*words, MILESTONE_DIR=str(link))
    here.chmod(0o700)
    (here / "logs").chmod(0o700)
    assert (done.status, done.out) == (3, b"")
    assert_sandbox_is_named(done, here)


def test_where_says_in_one_line_that_the_current_directory_is_gone(run):
    program = [sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py", "where"]
    done = run(["sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "sh", *program])
    assert (done.status, done.out, done.err.count("\n")) == (3, b"", 1)
