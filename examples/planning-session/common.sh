# What the agents of the example share. ADAPTER is shell/storage-adapter.sh, AGENTS this directory.
# shellcheck shell=sh
# shellcheck source=/dev/null
. "$ADAPTER"

say() { printf '%-14s %s\n' "$AGENT_ID" "$*"; }

# The work that a language model does in a real session.
think() { "${MILESTONE_PYTHON:-python3}" -I -S "$AGENTS/think.py" "$@"; }

# Wait for one message and take it: no other taker gets it, and taking the next one acknowledges it.
take_message() { get_agent_messages "$AGENT_ID" true 1 --wait 60; }
