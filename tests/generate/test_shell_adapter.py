"""The generated shell file as a text: current, complete, clean, and readable by old shells."""
from __future__ import annotations

import re
import subprocess

import pytest
from conftest import ADAPTER, ROOT
from rooms import PACKAGE

from milestone_persist.generate.adapter import TEMPLATE, make_adapter, make_executable, read_parts
from milestone_persist.registry import all_operations

NAMES = """
initialize_agent_coordination initialize_storage_system get_current_storage_backend get_optimal_storage_backend
migrate_storage_backend get_storage_config set_storage_config
register_agent update_agent_status agent_heartbeat list_session_agents
save_agent_state load_agent_state list_agent_state delete_agent_state
send_agent_message get_agent_messages acknowledge_agent_message broadcast_agent_message
create_agent_checkpoint list_agent_checkpoints restore_agent_checkpoint
get_session_status update_session_progress list_coordination_sessions
save_planning_artifacts list_planning_sessions resume_planning_session create_milestone_from_planning
detect_interrupted_sessions recover_milestone_session recover_planning_session recover_execution_session
resume_planning_agents complete_planning_session create_milestone_from_recovered_planning
restart_planning_with_artifacts abandon_session resume_execution_from_phase restart_incomplete_phases
restart_milestone_execution validate_planning_artifacts finalize_milestone_execution generate_milestone_report
cleanup_stale_coordination cleanup_failed_sessions get_session_recovery_status start_session_monitor
stop_session_monitor show_recovery_help
create_milestone_record read_milestone_record update_milestone_record delete_milestone_record list_milestones
search_milestones get_milestone_analytics acquire_milestone_lock release_milestone_lock
log_milestone_event log_storage_event
""".split()


def test_the_file_is_what_the_table_of_operations_makes():
    assert ADAPTER.read_text() == make_adapter(), "run: python3 -m milestone_persist generate"


def test_the_file_is_ascii():
    """So that every shell reads it in every locale: yash does not read on behind anything else under LC_ALL=C."""
    assert ADAPTER.read_bytes().isascii()


@pytest.mark.parametrize("dialect", ["sh", "dash", "bash", "ksh"])
@pytest.mark.parametrize("path", [ADAPTER, PACKAGE / "generate" / TEMPLATE], ids=["made", "template"])
def test_shellcheck_finds_nothing(need, dialect, path):
    done = subprocess.run([need("shellcheck"), "-s", dialect, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_everything_that_the_template_leaves_open_is_filled_in():
    """And only what stands in a part: what is before the first tells of the template."""
    left = set(re.findall("@[A-Z_]+@", "".join(read_parts().values())))
    assert len(left) > 5 and not left & set(re.findall("@[A-Z_]+@", make_adapter() + make_executable("made")))


def test_every_function_is_defined_and_nothing_is_left_over(sh):
    done = sh('for name in "$@"; do command -v "$name" >/dev/null || echo "$name is missing"; done', *NAMES)
    assert (done.status, done.text, done.err) == (0, "", "")
    left = [name for name in re.findall(r"^(\w+)\(\)", ADAPTER.read_text(), re.M) if name.startswith("milestone_")]
    assert len(left) > 3
    assert sh('for name in "$@"; do command -v "$name" || :; done', *left).text == ""


def test_each_function_calls_one_helper_and_no_name_begins_with_an_underscore():
    names = [op.name for op in all_operations() if op.shell]
    text = ADAPTER.read_text()
    for name in names:
        assert f'\n{name}() {{ \\milestone_persist {name} "$@"; }}\n' in text
    assert not re.search(r"^\s*_\w*\(\)", text, re.M)


def test_no_code_that_bash_3_2_misreads():
    """Up to bash 3.2 a $( ) ends at the first `)` of a case in it and takes an apostrophe in a comment for a quote."""
    for line in ADAPTER.read_text().splitlines():
        assert line.count("$(") <= line.count(")"), line
        assert not re.search(r"\$\([^)]*\bcase\b", line), line


def test_the_helper_holds_no_comment_and_no_apostrophe_of_its_own(run_shell):
    """An interactive zsh knows no comments in eval."""
    done = run_shell("bash", "declare -f milestone_persist")
    assert done.status == 0 and not re.search(r"(^|\s)#", done.text)


def test_a_path_can_be_written_into_the_file(sh, tmp_path):
    home = tmp_path / "it's a \"$HOME\" `x` \\ path"
    home.symlink_to(ROOT)
    adapter = tmp_path / "functions.sh"
    adapter.write_text(make_adapter(str(home / "milestone_persist" / "__main__.py")))
    done = sh("save_agent_state a k v; load_agent_state a k", ADAPTER=str(adapter))
    assert (done.text, done.err) == ("v", "")
