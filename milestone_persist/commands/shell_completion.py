"""Completion of command lines: the scripts for bash and zsh, and the candidates for the last word.

The scripts ask the program at each TAB.
"""
from __future__ import annotations

import os

from ..base.errors import UsageError
from ..base.quoting import unquote
from ..base.tables import LIVE
from ..base.vocabulary import words_for
from ..cli.words import parameter_at, scan_call, scan_words
from ..registry import all_operations, find_operation, operation
from ..storage.call import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..registry import Operation, Parameter

GROUP = "Looking"

_AGENTS = "SELECT agent_id AS word FROM agent_registry ORDER BY last_heartbeat DESC LIMIT 500"
_MILESTONES = "SELECT id AS word FROM milestones ORDER BY updated_at DESC LIMIT 500"
# Queries for what is known under the other names; :agent is the first argument.
IDS = {
    "session_id": "SELECT session_id AS word FROM coordination_sessions ORDER BY last_activity DESC LIMIT 500",
    "agent_id": _AGENTS, "from_agent": _AGENTS, "to_agent": _AGENTS, "milestone_id": _MILESTONES,
    "milestone": _MILESTONES, "key": "SELECT key AS word FROM agent_coordination_config",
    "checkpoint_id": "SELECT checkpoint_id AS word FROM agent_checkpoints ORDER BY created_at DESC LIMIT 500",
    "state_key": f"SELECT state_key AS word FROM agent_state WHERE agent_id = :agent AND {LIVE}",
    "message_id": "SELECT id AS word FROM agent_messages WHERE to_agent = :agent ORDER BY id DESC LIMIT 500",
}

# bash hands over words as they were typed; it closes a quote that was opened, and inside it nothing is escaped.
_BASH = r"""# Completion of milestone_persist. In ~/.bashrc: eval "$(@WAY@ completion bash)"
_milestone_persist() {
  local word
  COMPREPLY=()
  while IFS= read -r word; do
    case ${COMP_WORDS[COMP_CWORD]} in
      [\"\']*) case $word in *[\\\"\'\$\`\!]*) word= ;; esac ;;
      *) [ -z "$word" ] || printf -v word %q "$word" ;;
    esac
    [ -z "$word" ] || COMPREPLY+=("$word")
  done <<<"$(@EXPORT@
    exec @CALL@ complete --quoted -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null </dev/null)"
}
complete -o default -F _milestone_persist @NAMES@
"""

_ZSH = r"""#compdef @NAMES@
# Completion of milestone_persist. In ~/.zshrc, after compinit: eval "$(@WAY@ completion zsh)"
_milestone_persist() {
  local -a found
  found=("${(@f)$(@EXPORT@
    exec @CALL@ complete -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}") || found=()
  if [[ -n "$found" ]]; then compadd -- "${found[@]}"; else _files; fi
}
if (( ${+functions[compdef]} )); then compdef _milestone_persist @NAMES@; fi
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH}


@operation(text="record", shell=False)
def completion(call: Call, shell: str) -> str:
    """Print the completion of operations, options, words and ids for a shell, to be evaluated when it starts.

    shell: bash or zsh

    Example: completion bash
    """
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {shell!r}: use one of {', '.join(SCRIPTS)}")
    return _make_script(shell)


def _make_script(shell: str) -> str:
    """The script for bash or zsh, with the paths of this program and this Python; the table gives it the names."""
    import sys
    from shlex import quote

    from ..base.invocation import way_called
    from ..base.packaged import find_program
    from ..generate.adapter import read_parts

    names = ["milestone_persist", "milestone-persist", *(op.name for op in all_operations() if op.shell)]
    call = f"{quote(sys.executable)} -I -S {quote(find_program())}"
    return (SCRIPTS[shell].replace("@EXPORT@", read_parts()["export"].strip()).replace("@NAMES@", " ".join(names))
            .replace("@CALL@", call).replace("@WAY@", way_called()))


@operation(text="words", shell=False)
def complete(call: Call, *words: str, quoted: bool = False) -> list[str]:
    """Print the completions of the last word of a command line, one per line; shell completion calls it.

    words: the command line, from the program's or function's name on
    quoted: the words are as they were typed, with their quotes and backslashes

    Example: complete get_session_status planning-
    """
    if len(words) < 2:
        raise UsageError("complete is what a shell calls at TAB, and ends nothing: recover_milestone_session "
                         "SESSION_ID shows what completes a session, update_agent_status AGENT_ID completed an agent")
    *before, word = map(unquote, words) if quoted else words
    found = _find_candidates(call, os.path.basename(before[0]), before[1:], word)
    return sorted({name for name in found if name.startswith(word) and name.isprintable()})


def _find_candidates(call: Call, program: str, given: list[str], word: str) -> Iterable[str]:
    op = find_operation(program)
    if op and op.shell:
        return _complete_operation(call, op, given, word, from_shell=True)
    line = scan_call(given)
    if line.awaits_directory:
        return ()
    if line.directory:
        call = Call(os.path.abspath(line.directory), call.clock, call.environ)
    if not line.name:
        return ("--dir", "--help", "--json", "--version") if word.startswith("-") else ["help", *_names(word)]
    if line.name == "help":
        from ..cli.help import topics

        return () if line.words else [*topics(), *_names(word)]
    op = find_operation(line.name)
    return _complete_operation(call, op, line.words, word, from_shell=False) if op else ()


def _names(word: str) -> list[str]:
    return [op.name if "_" in word else op.command for op in all_operations()]


def _complete_operation(call: Call, op: Operation, given: list[str], word: str, from_shell: bool) -> Iterable[str]:
    """The candidates after an operation's words."""
    found = scan_words(op, given, from_shell)
    if word.startswith("-") and not found.awaited and not found.literal:
        options = [] if from_shell and len(found.args) < op.required else [p.flag for p in op.options] + ["--json"]
        return [*options, *([] if found.args else ["--help"])]
    parameter = found.awaited or parameter_at(op, len(found.args))
    return _words_for(call, op, parameter, found.args) if parameter else ()


def _words_for(call: Call, op: Operation, parameter: Parameter, args: list[str]) -> Iterable[str]:
    words = words_for(op.name, parameter.name)
    if words or parameter.name not in IDS or parameter.flag == "--key" and parameter.option:  # a name of one's own
        return words
    from ..running import look

    given = {"agent": args[0] if args else "", "now": call.now()}
    return [str(row["word"]) for row in look(call, lambda store: store.execute(IDS[parameter.name], given))]
