"""Completing: what may stand in the place of a command line's last word, for the shells' completion."""
from __future__ import annotations

import os

from ..base.errors import UsageError
from ..base.quoting import unquote
from ..base.vocabulary import words_for
from ..cli.arguments import parameter_at, scan_call, scan_words
from ..coordination.snapshots import LIVE
from ..registry import all_operations, find_operation, operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..registry import Operation, Parameter
    from ..storage.interface import Storage

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


@operation(text="record", shell=False, opens=False)
def completion(store: Storage, shell: str) -> str:
    """Print the completion of operations, options, words and ids for a shell, to be evaluated when it starts.

    shell: bash or zsh

    Example: completion bash
    """
    from ..generate.completion import SCRIPTS, make_script

    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {shell!r}: use one of {', '.join(SCRIPTS)}")
    return make_script(shell)


@operation(text="words", shell=False, opens=False)
def complete(store: Storage, *words: str, quoted: bool = False) -> list[str]:
    """Print what the last word of a command line can become, a line each; the completion of shells asks this.

    words: the command line, from the program's or function's name on
    quoted: the words are as they were typed, with their quotes and backslashes

    Example: complete get_session_status planning-
    """
    if len(words) < 2:
        return []
    *before, word = map(unquote, words) if quoted else words
    found = _find_candidates(store, os.path.basename(before[0]), before[1:], word)
    return sorted({name for name in found if name.startswith(word) and name.isprintable()})


def _find_candidates(store: Storage, program: str, given: list[str], word: str) -> Iterable[str]:
    op = find_operation(program)
    if op and op.shell:
        return _complete_operation(store, op, given, word, from_shell=True)
    call = scan_call(given)
    if call.awaits_directory:
        return ()
    if call.directory:
        store.directory = os.path.abspath(call.directory)
    if not call.name:
        return ("--dir", "--help", "--json", "--version") if word.startswith("-") else ["help", *_names(word)]
    if call.name == "help":
        from ..cli.help import topics

        return () if call.words else [*topics(), *_names(word)]
    op = find_operation(call.name)
    return _complete_operation(store, op, call.words, word, from_shell=False) if op else ()


def _names(word: str) -> list[str]:
    return [op.name if "_" in word else op.command for op in all_operations()]


def _complete_operation(store: Storage, op: Operation, given: list[str], word: str, from_shell: bool) -> Iterable[str]:
    """What may follow an operation's words."""
    found = scan_words(op, given, from_shell)
    if word.startswith("-") and not found.awaited and not found.literal:
        options = [] if from_shell and len(found.args) < op.required else [p.flag for p in op.options] + ["--json"]
        return [*options, *([] if found.args else ["--help"])]
    parameter = found.awaited or parameter_at(op, len(found.args))
    return _words_for(store, op, parameter, found.args) if parameter else ()


def _words_for(store: Storage, op: Operation, parameter: Parameter, args: list[str]) -> Iterable[str]:
    words = words_for(op.name, parameter.name)
    if words or parameter.name not in IDS:
        return words
    from ..opening.place import open_for

    opened = open_for(store.directory, store.environ, store.clock, create=False)
    try:
        rows = opened.execute(IDS[parameter.name], {"agent": args[0] if args else "", "now": opened.now()})
        return [str(row["word"]) for row in rows]
    finally:
        opened.close()
