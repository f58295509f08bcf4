"""Variables, options and aliases of a caller that meet those of the functions."""
from __future__ import annotations

import pytest

LONG = "$(head -c 300000 /dev/zero | tr '\\0' a)"
WORKS = f"""
save_agent_state a k v; load_agent_state a k
save_agent_state a long "{LONG}"; load_agent_state a long | wc -c | tr -d ' '"""

# Names that the functions used once, and some that anybody uses.
NAMES = ("program python folders link found stat pid file shim folder memory apostrophe echo word all value name path "
         "status text rest").split()


def names_for(shell):
    return [name for name in NAMES if shell != "zsh" or name not in ("path", "status")]


def works(done):
    return (done.status, done.text, done.err) == (0, "v300000\n", "")


@pytest.mark.parametrize("when", ["before", "behind"])
def test_readonly_variables(sh, when):
    readonly = "readonly " + " ".join(f"{name}=x" for name in names_for(sh.name))
    source = '\n. "$ADAPTER"\n'
    done = sh((readonly + source if when == "before" else source + readonly) + WORKS, source=False)
    assert works(done), done


@pytest.mark.parametrize("value", [":", "1-/x", "", "\n"])
def test_a_readonly_IFS(sh, value):
    done = sh('IFS=$1; readonly IFS; . "$ADAPTER"' + WORKS, value, source=False, MILESTONE_PYTHON=None)
    assert works(done), done


@pytest.mark.parametrize("sh", ["bash", "bash-posix", "zsh", "dash", "ksh", "mksh"], indirect=True)
def test_a_readonly_PATH(sh):
    done = sh('readonly PATH; . "$ADAPTER"' + WORKS, source=False, MILESTONE_PYTHON=None)
    assert works(done), done


@pytest.mark.parametrize("sh, attribute", [("bash", "declare -i"), ("bash", "declare -u"), ("bash", "declare -a"),
                                           ("zsh", "typeset -i"), ("zsh", "typeset -u"), ("zsh", "typeset -a"),
                                           ("ksh", "typeset -i"), ("ksh", "typeset -u"), ("mksh", "typeset -i"),
                                           ("mksh", "typeset -u")], indirect=["sh"])
def test_variables_with_attributes(sh, attribute):
    done = sh("\n".join(f"{attribute} {name}" for name in names_for(sh.name)) + '\n. "$ADAPTER"' + WORKS, source=False)
    assert works(done), done


@pytest.mark.parametrize("option", ["set -a", "export " + " ".join(f"{name}=x" for name in ("all", "word"))])
@pytest.mark.parametrize("when", ["before", "behind"])
def test_what_is_exported_does_not_grow_too_long(sh, option, when):
    source = '\n. "$ADAPTER"\n'
    done = sh((option + source if when == "before" else source + option) + WORKS, source=False)
    assert works(done), done


@pytest.mark.parametrize("option", ["set -a", ":"])
def test_options_of_the_caller_stay(sh, option):
    done = sh(f'{option}\nbefore=$-\nsave_agent_state a k v\n[ "$before" = "$-" ] && printf same')
    assert (done.text, done.err) == ("same", "")


ALIAS = """
if [ -n "${BASH_VERSION-}" ]; then shopt -s expand_aliases; fi
alias milestone_persist="python3 -m 'milestone_persist'" save_agent_state='python3 -m x' list_agent_state=':
  "$@"' other='echo " '
alias >before
%s
alias >after
cmp before after
\\save_agent_state a k v300000; load_agent_state a k; echo
"""


@pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
@pytest.mark.parametrize("source", ['. "$ADAPTER"', '. "$ADAPTER"; . "$ADAPTER"', 'eval "$(cat text)"'])
def test_aliases_of_the_functions_names_stay(sh, cli, tmp_path, source):
    (tmp_path / "text").write_text(cli("init", "sh").text)
    done = sh(ALIAS % source + "\n\\milestone_persist whoami | head -n 1", source=False)
    assert (done.status, done.text, done.err) == (0, "v300000\nagent: unknown: set AGENT_ID\n", "")


@pytest.mark.parametrize("name", ["milestone_persist", "save_agent_state"])
@pytest.mark.parametrize("sh", ["zsh"], indirect=True)
def test_a_global_alias_of_zsh(sh, name):
    text = f"alias -g {name}=wrong\n" + '. "$ADAPTER"' + f"""
\\save_agent_state a k v; load_agent_state a k; alias -L '{name}'"""
    assert sh(text, source=False).text == f"valias -g {name}=wrong\n"


# What one shell says of itself, in the environment of another that started it; public images set such variables.
OTHERS = {"ZSH_VERSION": "5.9", "BASH_VERSION": "5.2.15(1)-release", "KSH_VERSION": "@(#)MIRBSD KSH R59",
          "ZSH_NAME": "zsh", "ZSH_SUBSHELL": "0", "BASH_SUBSHELL": "0", "BASH": "/bin/bash", "ERRNO": "1",
          "SHELL": "/bin/zsh", "ZSH_EVAL_CONTEXT": "file", "POSIXLY_CORRECT": "y"}


@pytest.mark.parametrize("name", [*OTHERS, "KSH_VERSION of ksh93", "all"])
def test_a_shell_is_not_taken_for_the_one_that_started_it(sh, name):
    others = OTHERS if name == "all" else {name.partition(" ")[0]: OTHERS.get(name, "Version AJM 93u+")}
    long = "long=$(head -c 100000 /dev/zero | tr '\\0' a)\n"
    done = sh(long + 'save_agent_state a k "$long"; load_agent_state a k | wc -c', **others)
    assert (done.status, done.text.strip(), done.err) == (0, "100000", "")
