"""Completion of command lines: what is offered where, in real bash and zsh, and never an error."""
from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

from milestone_persist.base.vocabulary import WORDS
from milestone_persist.commands.shell_completion import IDS
from milestone_persist.registry import all_operations

PROGRAM = shlex.join([sys.executable, "-I", "-S", str(ROOT / "milestone_persist" / "__main__.py")])
EVAL = f'eval "$({PROGRAM} completion $SHELL_NAME)"\n'
# What bash hands to a completion function, and what comes back.
BASH = EVAL + 'set -f; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n_milestone_persist; printf "%s\\n" "${COMPREPLY[@]-}"'


@pytest.fixture
def backend():
    return "hybrid"


@pytest.fixture
def scene(store):
    """Two agents of a planning session: what they saved, sent and checkpointed."""
    store.register_agent("scope-1", "scope-analyzer", "ms-1", "planning-ms-1-1")
    store.register_agent("risk 1", "risk-assessor", "ms-1", "planning-ms-1-1")
    store.save_agent_state("scope-1", "planning-scope", "x")
    store.send_agent_message("risk 1", "scope-1", "error_report", {})
    return store


@pytest.mark.parametrize("line, offered", [
    ("get_session_status ''", ["planning-ms-1-1"]),
    ("/some/bin/list_agent_state s", ["scope-1"]),
    ("send_agent_message scope-1 r", ["risk 1"]),
    ("send_agent_message scope-1 x error", ["error_report"]),
    ("load_agent_state scope-1 ''", ["planning-scope"]),
    ("load_agent_state 'risk 1' ''", []),
    ("acknowledge_agent_message scope-1 ''", ["1"]),
    ("register_agent new risk", ["risk-assessor"]),
    ("register_agent new risk-assessor ''", ["ms-1"]),
    ("update_agent_status scope-1 p", ["paused"]),
    ("update_agent_status scope-1 --phase ''", ["design", "execute", "spec", "task"]),
    ("list_coordination_sessions p", ["paused"]),
    ("get_storage_config strict", ["strict_agents"]),
    ("save_agent_state --i", []),  # a value may begin with a dash
    ("save_agent_state a k v --i", ["--if-version"]),
    ("milestone-persist save-agent-state --i", ["--if-version"]),
    ("milestone-persist save-agent-state --he", ["--help"]),
    ("milestone-persist save-a", ["save-agent-state"]),
    ("milestone_persist save_a", ["save_agent_state"]),
    ("milestone_persist --json --dir nowhere list-agent-state ''", []),
    ("milestone_persist --js", ["--json"]),
    ("milestone_persist help mess", ["messages"]),
    ("milestone_persist no-such-operation ''", []),
    ("get_session_status a b c ''", []),
])
def test_completion_offers_what_may_follow(scene, cli, line, offered):
    done = cli("--json", "complete", "--", *shlex.split(line))
    assert (done.status, done.err) == (0, "")
    assert done.text == str(offered).replace("'", '"').replace(", ", ",") + "\n"


def test_looking_makes_no_directory(cli, directory):
    assert cli("complete", "--", "get_session_status", "").text == ""
    assert not directory.exists()


@pytest.mark.parametrize("engine", ["file", "database"])
def test_ids_come_from_any_storage(cli, engine):
    cli("register-agent", "a-1", "validation", "m", "validation-1", MILESTONE_BACKEND=engine)
    assert cli("complete", "list_agent_state", "", MILESTONE_BACKEND=engine).text == "a-1\n"


def test_every_name_of_the_tables_is_a_parameter_of_an_operation():
    names = {name for op in all_operations() for p in op.parameters for name in (p.name, f"{op.name} {p.name}")}
    assert {*WORDS, *IDS} <= names


def test_an_unknown_shell_is_refused(cli):
    done = cli("completion", "fish")
    assert done.status == 2 and "use one of bash, zsh" in done.err


def complete_in_bash(run_shell, scene, *words):
    done = run_shell("bash", BASH, *words, SHELL_NAME="bash", MILESTONE_DIR=scene.directory)
    assert (done.status, done.err) == (0, "")
    return done.text.splitlines()


def test_bash_completes_the_command_line(scene, run_shell):
    assert complete_in_bash(run_shell, scene, "get_session_status", "plan") == ["planning-ms-1-1"]
    assert complete_in_bash(run_shell, scene, "list_agent_state", "") == ["risk\\ 1", "scope-1"]
    assert complete_in_bash(run_shell, scene, "milestone-persist", "init") == ["init", "initialize-agent-coordination",
                                                                                 "initialize-storage-system"]


@pytest.mark.parametrize("words, offered", [
    (["load_agent_state", "risk\\ 1", ""], ["a\\ key"]), (["load_agent_state", "'risk 1'", ""], ["a\\ key"]),
    (["load_agent_state", '"risk 1"', "a"], ["a\\ key"]), (["load_agent_state", "ri'sk 1'", "a\\ "], ["a\\ key"]),
    (["list_agent_state", "risk\\ "], ["risk\\ 1"]), (["list_agent_state", "'ri"], ["risk 1"]),
    (["list_agent_state", '"ri'], ["risk 1"]), (["list_agent_state", "'$(touch pwned)"], [""]),
    (["list_agent_state", "`touch pwned`"], [""]), (["list_agent_state", "ri\\"], [""]),
    (["list_agent_state", '"it'], [""]), (["list_agent_state", "it"], ["it\\'s"]),
])
def test_bash_with_words_in_quotes(scene, run_shell, tmp_path, words, offered):
    scene.save_agent_state("risk 1", "a key", "v")
    scene.register_agent("it's", "validation", "ms-1", "planning-ms-1-1")
    assert complete_in_bash(run_shell, scene, *words) == offered
    assert not (tmp_path / "pwned").exists()


# What a person types at a prompt, and what the function is given then.
TYPED = {"list_agent_state ris\t\n": "risk 1", "list_agent_state 'ris\t\n": "risk 1",
         'list_agent_state "ris\t\n': "risk 1", "list_agent_state risk\\ \t\n": "risk 1",
         "load_agent_state risk\\ 1 a\t\n": "risk 1,a key", "load_agent_state 'risk 1' 'a k\t\n": "risk 1,a key"}


def test_bash_at_a_prompt(scene, need, environ, tmp_path):
    need("bash")
    scene.save_agent_state("risk 1", "a key", "v")
    (tmp_path / "bashrc").write_text(EVAL + """
list_agent_state() { printf '<%s>\\n' "$1"; }
load_agent_state() { printf '<%s,%s>\\n' "$1" "$2"; }
stty -echo; PS1=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; printf '<ready>\\n'
""")
    main, end = os.openpty()
    variables = {**environ, "SHELL_NAME": "bash", "MILESTONE_DIR": scene.directory, "TERM": "dumb"}
    process = subprocess.Popen(["bash", "--noprofile", "--rcfile", tmp_path / "bashrc", "-i"], stdin=end, stdout=end,
                               stderr=end, env=variables, cwd=tmp_path, start_new_session=True)
    os.close(end)
    try:
        assert read_word(main) == "ready"
        for keys, given in TYPED.items():
            os.write(main, keys.encode())
            assert read_word(main) == given, keys
    finally:
        process.kill()
        process.wait()
        os.close(main)


def read_word(terminal):
    """What comes next between < and > on a terminal."""
    seen = b""
    while b">" not in seen.partition(b"<")[2]:
        seen += os.read(terminal, 1000)
    return seen.partition(b"<")[2].partition(b">")[0].decode()


def test_bash_completes_every_function(run_shell):
    done = run_shell("bash", EVAL + "complete -p", SHELL_NAME="bash")
    completed = {line.split()[-1] for line in done.text.splitlines()}
    assert completed == {"milestone-persist", "milestone_persist", *(op.name for op in all_operations() if op.shell)}


CALLS = {
    "bash": "COMP_WORDS=(list_agent_state ''); COMP_CWORD=1; _milestone_persist",
    "zsh": "_files() { :; }; words=(list_agent_state ''); CURRENT=2; PREFIX=; _milestone_persist",
}


@pytest.mark.parametrize("shell", CALLS)
def test_a_prompt_sees_no_error(run_shell, cli, tmp_path, shell):
    (tmp_path / "broken").write_text("no directory")
    script = cli("completion", shell).text
    for text in (script, script.replace("__main__.py", "gone.py"), script.replace(sys.executable, "/gone/python3")):
        done = run_shell(shell, f"{text}\n{CALLS[shell]}", MILESTONE_DIR=str(tmp_path / "broken"))
        assert (done.status, done.text, done.err) == (0, "", "")


# A terminal in which a key completes, without the time that compinit takes; the functions show their argument.
ZSHRC = EVAL + """
_files() { compadd no-file; }
zle -C offered complete-word _milestone_persist
bindkey '^I' offered
get_session_status() { print -r -- "<$1>"; }
list_agent_state() { print -r -- "<$1>"; }
stty -echo
PS1=
print '<ready>'
"""
ZSH = """
zmodload zsh/zpty
zpty terminal zsh -f -i
zpty -w terminal '. ./zshrc'
zpty -r -m terminal seen '*<ready>*'
for line in "$@"; do
  zpty -n -w terminal "$line"$'\\t\\n'
  zpty -r -m terminal seen '*<*>*'
  print -r -- "${${seen##*<}%%>*}"
done
zpty -d terminal
"""


def test_zsh_completes_the_command_line(scene, run_shell, tmp_path):
    (tmp_path / "zshrc").write_text(ZSHRC)
    lines = ["get_session_status plan", "list_agent_state r", "list_agent_state sc", "get_session_status x"]
    done = run_shell("zsh", ZSH, *lines, SHELL_NAME="zsh", MILESTONE_DIR=scene.directory)
    assert done.text.splitlines() == ["planning-ms-1-1", "risk 1", "scope-1", "x"]


def test_by_hand_it_says_that_it_ends_nothing(cli, backend):
    for words in (["complete"], ["complete", "planning-ms-1-1"]):
        done = cli(*words)
        assert (done.status, done.out) == (2, b"") and "recover_milestone_session SESSION_ID" in done.err
