"""Programs that install puts into a folder: they do what the functions do, move with the project and go with it."""
from __future__ import annotations

import os
import sys

import pytest
from install_project import tree


def test_executables_do_what_the_functions_do(milestone, call, project, tmp_path):
    done = milestone("install", "--bin", "a bin")
    assert (done.status, done.err) == (0, "")
    assert not (project / ".claude").exists()
    path = f"{project}/a bin:{os.environ['PATH']}"
    text = """set -eu
      printf '%s' "$VALUE" | save_agent_state a piped -
      save_agent_state a given "$VALUE"
      printf 'one\\ntwo\\n' | while read -r word; do save_agent_state a "$word" v; done
      list_agent_state a | grep -c ""; load_agent_state a piped; load_agent_state a given"""
    value = "--help 'it' \"$(x)\" \\n 🙂\n\nend"
    done = call("sh", "-c", text, PATH=path, VALUE=value)
    assert (done.status, done.out, done.err) == (0, f"5\n{value}{value}", "")
    assert call(sys.executable, "-c", "import subprocess as s; s.run(['load_agent_state', 'a', 'none'])",
                PATH=path).err.count("\n") == 1
    assert call(project / "a bin" / "load_agent_state", "a", "none").status == 1
    assert call("sh", "load_agent_state", "a", "one", cwd=project / "a bin", MILESTONE_DIR=f"{project}/.milestones"
                ).out == "v"
    (tmp_path / "elsewhere").symlink_to(project / "a bin" / "load_agent_state")
    assert call("milestone_persist", "load_agent_state", "a", "one", PATH=path).out == "v"
    assert milestone("install", "--check", "--bin", "a bin").status == 0
    assert milestone("uninstall", "--bin", "a bin").status == 0
    assert not (project / "a bin").exists()


def test_programs_in_a_project_are_renewed_and_removed_with_it(milestone, project, tmp_path):
    (project / "tools").mkdir()
    before = tree(project)
    for words in (["install", "--functions-only"], ["install", "--bin", "bin"], ["install", "--bin", "tools/bin"]):
        assert milestone(*words).status == 0
    (project / "bin" / "register_agent").unlink()
    assert f"missing in {project}/bin: register_agent" in milestone("install", "--check").out
    milestone("install")
    assert (project / "bin" / "register_agent").is_symlink()
    milestone("install", "--bin", tmp_path / "outside")
    (project / "link").symlink_to(tmp_path / "outside")
    assert milestone("uninstall").status == 0
    (project / "link").unlink()
    assert tree(project) == before and (tmp_path / "outside" / "register_agent").exists()


def test_executables_beside_a_vendored_program_move_with_it(milestone, call, project, vendored, tmp_path):
    milestone("install", "--bin", "bin", program=vendored)
    moved = project.rename(tmp_path / "moved")
    assert call("bin/save_agent_state", "a", "k", "v", cwd=moved).status == 0
    done = call("../bin/load_agent_state", "a", "k", cwd=moved / "src")
    assert (done.status, done.out, done.err) == (0, "v", "")


@pytest.mark.parametrize("kind", ["folder", "zipapp"])
@pytest.mark.parametrize("given", [[], ["--dry-run"], ["--json"]])
def test_executables_that_call_uninstall_take_themselves_out(milestone, call, project, vendored, kind, given):
    program = vendored
    if kind == "zipapp":
        program = project / "tools.pyz"
        assert milestone("vendor", "--zipapp", program).status == 0
    milestone("install", "--bin", "a bin", program=program)
    done = call("a bin/milestone_persist", "uninstall", "--bin", "a bin", *given)
    assert (done.status, done.err) == (0, "") and "abandon_session" in done.out
    assert (project / "a bin").exists() == (given == ["--dry-run"])
