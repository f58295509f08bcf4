"""The helper that all shell functions call, as shell text: what follows the paths that are written into it."""
from __future__ import annotations

from ..base.values import HOLDS_NUL

# What a caller may have set without exporting it; the helper exports it.
EXPORT = r"""export AGENT_ID SESSION_ID MILESTONE_ID MILESTONE_DIR MILESTONE_BACKEND MILESTONE_NOW MILESTONE_DEBUG \
    MILESTONE_SPAWN_DIRS MILESTONE_SHARED_DIRS MILESTONE_DATABASE_URL MILESTONE_DATABASE_SCHEMA \
    DATABASE_URL DATABASE_TYPE"""

# It is a subshell, so that its variables are its own. Their names are none of a caller's, whose attributes they would
# have, and they are not exported: together with a long value they would be too much for a program. It holds no
# apostrophe, being inside them in the file (but where it leaves them for what the shell at hand prints with), and no
# comment, which an interactive zsh does not know in eval. Standard input is left to the caller, but for the word `-`.
# An argument of a program is limited to 128 KB: long words go in on standard input, each ended by a NUL; in mksh printf
# is a program, too. In zsh a word may hold a NUL, which would cut it short.
CHECK = f"  {EXPORT}\n" + r"""  if ! command -v "$milestone_python" >/dev/null 2>&1; then
    printf "%s %s\n" "milestone_persist: no Python found${milestone_python:+ at $milestone_python}:" \
      "set MILESTONE_PYTHON to one" >&2
    exit 3
  fi
  if [ ! -e "$milestone_program" ]; then
    printf "%s %s\n" "milestone_persist: no program found${milestone_program:+ at $milestone_program}:" \
      "set MILESTONE_PROGRAM to milestone_persist/__main__.py, or install again from where the program is now" >&2
    exit 3
  fi
""".rstrip("\n")

CHECK_NULS = r"""  if printf -v milestone_nul "\0" >/dev/null 2>&1; then
    for milestone_word in "$@"; do
      case $milestone_word in
        *"$milestone_nul"*)
          printf "%s\n" "milestone_persist: an argument @NUL@" >&2
          exit 2
          ;;
      esac
    done
  fi""".replace("@NUL@", HOLDS_NUL)

RUN = r"""  for milestone_word in "$@"; do
    if [ "$milestone_word" = - ]; then exec "$milestone_python" -I -S "$milestone_program" "$@"; fi
  done
  milestone_all="$*"
  if [ "${#milestone_all}" -lt 30000 ]; then exec "$milestone_python" -I -S "$milestone_program" "$@" </dev/null; fi
  for milestone_word in "$@"; do
    '"$milestone_write"' "$milestone_word" && printf "\0" || exit
  done | "$milestone_python" -I -S "$milestone_program" --words-on-stdin "$#" || exit "$?"
)"""
