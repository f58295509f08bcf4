"""The program is found beside the file that is sourced, whatever its path is made of and whatever the locale is."""
from __future__ import annotations

import os
import shutil

import pytest
from conftest import ADAPTER, ROOT, share

NAMES = ["é 日本", "a\nb", "a -> b", "%s %n%%", "it's \"$HOME\" `x`", "\\t\\n", "(deleted)", "*?[a]~", "--",
         "c:\\d; e|f"]
SURROUNDINGS = [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "C.UTF-8"}, {"QUOTING_STYLE": "c", "LC_ALL": "C"}]
VERSION = "\nmilestone_persist --version\n"


@pytest.fixture
def copy(tmp_path):
    """Makes a project in a folder of that name, its functions a file of their own; returns their path."""
    def copy(name):
        folder = tmp_path / name / "shell"
        folder.mkdir(parents=True)
        (tmp_path / name / "milestone_persist").symlink_to(ROOT / "milestone_persist")
        return shutil.copy(ADAPTER, folder)

    return copy


@pytest.mark.parametrize("surroundings", SURROUNDINGS, ids=lambda each: ",".join(each.values()))
def test_a_path_of_any_characters(sh, copy, surroundings):
    names = share(NAMES, SURROUNDINGS.index(surroundings) % 2, 2)
    files = [str(copy(name)) for name in names]
    done = sh('for file in "$@"; do ( . "$file"' + VERSION + ') || printf "not from <%s>\\n" "$file"; done', *files,
              source=False, **surroundings)
    assert (done.text.count("milestone_persist "), done.err) == (len(files), "")


@pytest.mark.parametrize("how", ["link", "relative", "function", "nested"])
@pytest.mark.parametrize("name", ["é", "a\nb", "a -> b"])
def test_a_path_of_any_characters_works_however_the_functions_are_sourced(sh, copy, tmp_path, name, how):
    adapter = copy(name)
    (tmp_path / "link é -> \n.sh").symlink_to(adapter)
    (tmp_path / "caller.sh").write_text('. "$ADAPTER"')
    text = {"link": '. "$HOME/$1"', "relative": 'cd "${ADAPTER%/*}"; . ./storage-adapter.sh; cd /',
            "function": 'load() { . "$ADAPTER"; }; load', "nested": '. "$HOME/caller.sh"'}[how]
    done = sh(text + VERSION, "link é -> \n.sh", source=False, ADAPTER=str(adapter), LC_ALL="C")
    assert (done.status, done.err) == (0, "")


def test_with_no_program_on_PATH(sh, copy, tmp_path):
    """The system's own readlink is asked then."""
    link = tmp_path / "link.sh"
    link.symlink_to(copy("folder"))
    (tmp_path / "printf").symlink_to(shutil.which("printf"))  # a program in mksh
    done = sh('PATH=$HOME; . "$ADAPTER"' + VERSION, source=False, ADAPTER=str(link))
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("path", ["PATH=.:$PATH", "PATH=:$PATH", "unset PATH", "PATH=./shims"])
def test_no_program_of_the_current_directory_is_run(sh, copy, tmp_path, path):
    """It may be somebody's repository; where there is no PATH, some shells search it."""
    link = tmp_path / "link.sh"
    link.symlink_to(copy("folder"))
    for name in ("readlink", "mkdir", "shims/python3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('#!/bin/sh\n: > "$HOME/ran"\n')
        (tmp_path / name).chmod(0o755)
    sh(f'cd "$HOME"; {path}; . "$ADAPTER"' + VERSION, source=False, ADAPTER=str(link), MILESTONE_PYTHON=None)
    assert not (tmp_path / "ran").exists()


def test_without_a_PATH_the_usual_folders_are_searched(sh, need):
    if not os.access("/usr/bin/python3", os.X_OK) and not os.access("/bin/python3", os.X_OK):
        need("a python3 in /usr/bin")
    done = sh('unset PATH; . "$ADAPTER"; milestone_persist --version', source=False, MILESTONE_PYTHON=None)
    assert "no Python found" not in done.err and done.status in (0, 3)  # 3: it is too old
