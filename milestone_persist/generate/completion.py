"""Completion of command lines in bash and zsh: the scripts that a shell evaluates. Both ask the program at each TAB."""
from __future__ import annotations

import sys

from ..base.invocation import way_called
from ..base.packaged import find_program
from ..registry import all_operations
from .adapter import read_parts

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


def make_script(shell: str) -> str:
    """The script for bash or zsh, with the paths of this program and this Python; the table gives it the names."""
    from shlex import quote

    names = ["milestone_persist", "milestone-persist", *(op.name for op in all_operations() if op.shell)]
    call = f"{quote(sys.executable)} -I -S {quote(find_program())}"
    return (SCRIPTS[shell].replace("@EXPORT@", read_parts()["export"].strip()).replace("@NAMES@", " ".join(names))
            .replace("@CALL@", call).replace("@WAY@", way_called()))
