"""The functions inside pipelines, loops, jobs and substitutions, with streams closed or broken, and their statuses."""
from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from conftest import MADE, ROOT

LONG = "$(head -c 100000 /dev/zero | tr '\\0' a)"


def test_substitutions_pipelines_subshells_and_jobs(sh):
    done = sh("""
      value=$(save_agent_state a k one; load_agent_state a k); printf '%s ' "$value"
      load_agent_state a k | tr o O; printf ' '
      (save_agent_state a k two); load_agent_state a k; printf ' '
      save_agent_state a k three & wait; load_agent_state a k""")
    assert (done.status, done.text, done.err) == (0, "one One two three", "")


def test_a_loop_keeps_its_standard_input(sh):
    done = sh("""while read -r key; do
        save_agent_state a "$key" "value of $key"; load_agent_state a "$key"; send_agent_message a a error_report '{}'
        save_agent_state a long "%s"
      done; list_agent_state a | wc -l""" % LONG, stdin=b"k1\nk2\nk3\n")
    assert done.text.split("\n") == ["value of k11", "value of k22", "value of k33", "5", ""]


def test_a_dash_reads_the_standard_input_of_the_caller(sh):
    done = sh("printf 'a\\nb\\n' | save_agent_state a k -; load_agent_state a k; save_agent_state a k - </dev/null; "
              "load_agent_state a k; echo '{\"n\": 1}' | send_agent_message a a error_report - 9 >/dev/null; "
              "get_agent_messages a true")
    assert done.text.startswith("a\nb\n[{")
    assert json.loads(done.text[4:])[0]["payload"] == {"n": 1}


def test_shell_functions_work_with_closed_streams(sh):
    done = sh("save_agent_state a k v <&-; load_agent_state a k <&-; save_agent_state a k - <&- || :; "
              "load_agent_state a k; save_agent_state a k w; load_agent_state a k >&- || :; load_agent_state a k 2>&-; "
              "load_agent_state a none 2>&- || printf ' %s' $?; save_agent_state a k w >&- 2>&- <&-")
    assert (done.status, done.text) == (0, "vvw 1")
    assert done.err == ("milestone_persist: standard input is closed\n"
                        "milestone_persist: the answer could not be printed (standard output is closed)\n")


def test_a_message_that_could_not_be_printed_is_not_lost(sh):
    done = sh(f"""send_agent_message a a x-note '{{"text": "'"{LONG}{LONG}"'"}}' >/dev/null
      get_agent_messages a true >&- 2>/dev/null || printf '%s ' $?
      get_agent_messages a true >/dev/full 2>/dev/null || printf '%s ' $?
      case ${{KSH_VERSION-}} in Version*) set -o pipefail ;; esac  # else ksh does not wait for all of a pipeline
      get_agent_messages a true | : || :
      get_agent_messages a true | wc -c""")
    assert done.text.startswith("3 3 2")


def test_a_reader_that_goes_away(sh):
    done = sh(f"save_agent_state a k \"{LONG}{LONG}{LONG}\"; load_agent_state a k | head -c 3; "
              "load_agent_state a k | :")
    assert (done.text, done.err) == ("aaa", "")


def test_a_full_disk_behind_standard_output_is_told_in_one_line(sh):
    done = sh("save_agent_state a k v; load_agent_state a k >/dev/full || echo $?")
    assert (done.text, done.err.count("\n")) == ("3\n", 1)
    assert done.err == "milestone_persist: the answer could not be printed (No space left on device)\n"


@pytest.mark.parametrize("call, status", [
    ("load_agent_state a none", 1), ("save_agent_state '' k v", 2),
    ("send_agent_message a a error_report \"$long\"", 2), ("MILESTONE_DIR=/dev/null/x; save_agent_state a k v", 3),
    ("MILESTONE_DIR=/dev/null/x; save_agent_state a k \"$long\"", 3),
])
def test_shell_functions_give_the_status_of_each_error(sh, call, status):
    done = sh(f"long={LONG}\n{call} || echo status $?")
    assert done.text == f"status {status}\n"
    assert done.err.startswith("milestone_persist: ") and done.err.count("\n") == 1
    assert sh(f"long={LONG}\n{call}\necho not reached").status == status


@pytest.mark.parametrize("sh", ["bash", "zsh", "ksh", "busybox"], indirect=True)
def test_statuses_under_pipefail(sh):
    done = sh(f"set -o pipefail; long={LONG}\nfor call in 1 2 3; do "
              "send_agent_message a a error_report \"$long\" || printf '%s ' $?; done; trap '' PIPE; "
              "save_agent_state a k \"$long\" no_such_type || printf '%s ' $?; "
              "load_agent_state a none | cat || echo $?")
    assert done.text == "2 2 2 2 1\n"
    assert done.err.count("\n") == 5


def test_an_empty_inbox_is_no_failure(sh):
    assert sh("get_agent_messages a true; get_agent_messages a").text == "[]\n[]\n"


def test_variables_need_not_be_exported(sh):
    done = sh("SESSION_ID=planning-7 MILESTONE_DIR=$HOME/elsewhere\nsave_agent_state a k v; "
              "list_session_agents planning-7 | grep -c unregistered; test -f elsewhere/coordination.db; "
              "env | grep -c '^SESSION_ID' || :")
    assert (done.status, done.text) == (0, "1\n0\n")


def test_a_call_changes_nothing_of_the_caller(sh):
    done = sh("program=mine python=mine word=mine all=mine; set -- one two; IFS=,; cd /tmp\nMILESTONE_DIR=$HOME/m\n"
              f"save_agent_state a k v; save_agent_state a long \"{LONG}\"\n"
              "printf '%s ' \"$program\" \"$python\" \"$word\" \"$all\" \"$*\" \"$IFS\" \"$PWD\"")
    assert done.text == "mine mine mine mine one,two , /tmp "


def test_a_trap_at_exit_runs_once(sh):
    done = sh(f"trap 'echo bye' EXIT\nsave_agent_state a k \"{LONG}\"; save_agent_state a k v; "
              "$(load_agent_state a k >/dev/null)")
    assert done.text == "bye\n"


@pytest.mark.parametrize("sh", ["bash", "bash-posix", "zsh", "dash", "ksh", "busybox"], indirect=True)
def test_the_documented_echo_and_jq(sh, need):
    """Not in mksh, whose echo rewrites every backslash, also those of \\u."""
    need("jq")
    payload = {"text": "a\nb\\c\"d\te\u00e9\u2028🚀/\b\f\r\\n\\u0041\\\\"}
    done = sh("""send_agent_message a b task_assignment "$1" >/dev/null 2>&1
      send_agent_message a b error_report '{}' >/dev/null 2>&1
      messages=$(get_agent_messages b true)
      echo "$messages" | jq -r '.[] | select(.message_type == "task_assignment") | .payload'""", json.dumps(payload))
    assert done.status == 0
    assert json.loads(done.text) == payload


def test_printf_and_jq_everywhere(sh, need):
    need("jq")
    payload = {"text": "a\nb\\c\"d\te"}
    done = sh("""send_agent_message a b task_assignment "$1" >/dev/null 2>&1; messages=$(get_agent_messages b true)
      printf '%s' "$messages" | jq '.[].payload'""", json.dumps(payload))
    assert json.loads(done.text) == payload


def test_an_interrupt_ends_a_waiting_call_at_once_and_in_silence(tmp_path):
    process = subprocess.Popen([sys.executable, "-I", "-S", ROOT / "milestone_persist" / "__main__.py",
                                "get-agent-messages", "a", "true", "--wait", "100"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE,
                               env={"MILESTONE_DIR": str(tmp_path / "m"), "MILESTONE_BACKEND": "hybrid"},
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    while not (tmp_path / "m" / "coordination.db").exists():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (out, MADE.sub("", err.decode())) == (b"", "")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("odd", ["it's $(touch pwned)", "=ls", "~", "a b", "-x", "*"])
@pytest.mark.parametrize("sh", ["bash", "zsh", "dash"], indirect=True)
def test_a_printed_command_works_as_it_stands(sh, odd):
    done = sh("""SESSION_ID=planning-1; save_agent_state a milestone-plan '{"title": "The plan"}'
      told=$(create_milestone_from_planning planning-1 "$1"); eval "${told#* created: }" """, odd)
    assert (done.status, done.err) == (0, "") and 'title: "The plan"' in done.text
