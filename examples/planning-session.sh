#!/bin/sh
# A planning session of three agents on real data, told step by step; needs a shell and Python 3.9, installs nothing:
#
#   sh examples/planning-session.sh [DIRECTORY]
#
# The agents plan the review of DIRECTORY (this project, if none is named). Each is a process of its own, in another
# shell where there is one, and all they share is the coordination store: MILESTONE_DIR if that is set, else a fresh
# directory under ${TMPDIR:-/tmp} (or here, if nothing can be written there), which stays for you to look at.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
directory=$(cd "${1:-$here/..}" && pwd)
unset MILESTONE_DATABASE_URL DATABASE_URL DATABASE_TYPE
if [ -n "${MILESTONE_DIR:-}" ]; then
  run=$(date +%s)-$$
else
  run=1
  place=$(mktemp -d "${TMPDIR:-/tmp}/planning-session.XXXXXX" 2>/dev/null || mktemp -d "$PWD/planning-session.XXXXXX")
  MILESTONE_DIR=$place/.milestones
fi
MILESTONE_BACKEND=hybrid
AGENTS=$here/planning-session
ADAPTER=$here/../shell/storage-adapter.sh
SESSION_ID=planning-review-$run
MILESTONE_ID=review-$run
COORDINATOR_ID=coordinator-$MILESTONE_ID
AGENT_ID=$COORDINATOR_ID
SCOPE_AGENT_ID=scope-$MILESTONE_ID
ESTIMATION_AGENT_ID=estimation-$MILESTONE_ID
export MILESTONE_DIR MILESTONE_BACKEND AGENTS ADAPTER SESSION_ID MILESTONE_ID COORDINATOR_ID
# shellcheck source=/dev/null
. "$AGENTS/common.sh"

first_of() { # the first of these programs that is there
  for program in "$@"; do
    if command -v "$program"; then return; fi
  done
}

spawn() { # AGENT SHELL SCRIPT: run an agent in a process of its own
  say "starts $1 in ${2##*/}"
  AGENT_ID=$1 "$2" "$AGENTS/$3" &
}

hear() { # wait for a report and tell it
  report=$(take_message)
  sender=$(printf '%s' "$report" | think field from_agent)
  summary=$(printf '%s' "$report" | think field summary)
  say "hears from $sender: $summary"
}

say "opens the store"
initialize_agent_coordination
register_agent "$AGENT_ID" milestone-coordinator "$MILESTONE_ID" "$SESSION_ID" '["planning", "coordination"]'
register_agent "$SCOPE_AGENT_ID" scope-analyzer "$MILESTONE_ID" "$SESSION_ID"
register_agent "$ESTIMATION_AGENT_ID" estimation-agent "$MILESTONE_ID" "$SESSION_ID"
spawn "$SCOPE_AGENT_ID" "$(first_of dash ksh mksh sh)" scope-agent.sh
spawn "$ESTIMATION_AGENT_ID" "$(first_of zsh bash sh)" estimation-agent.sh

say "sends $SCOPE_AGENT_ID its task"
task=$(think task "$directory" "$ESTIMATION_AGENT_ID")
message=$(send_agent_message "$AGENT_ID" "$SCOPE_AGENT_ID" task_assignment "$task" 8)
say "sent message $message; waits for both"
hear
update_session_progress "$SESSION_ID" 40
hear
acknowledge_agent_message "$AGENT_ID" "$(printf '%s' "$report" | think field id)"
update_session_progress "$SESSION_ID" 80
wait

scope=$(load_agent_state "$SCOPE_AGENT_ID" planning-scope)
estimates=$(load_agent_state "$ESTIMATION_AGENT_ID" planning-estimates)
plan=$(think plan "$scope" "$estimates")
save_agent_state "$AGENT_ID" milestone-plan "$plan"
say "saved milestone-plan; checkpoint $(create_agent_checkpoint "$AGENT_ID" phase_completion)"
create_milestone_from_planning "$SESSION_ID" "$MILESTONE_ID"

echo
think show "$MILESTONE_DIR/coordination.db" "$SESSION_ID"
echo "Look yourself:"
echo "  sqlite3 \"$MILESTONE_DIR/coordination.db\" 'SELECT * FROM agent_messages'"
echo "  less \"$MILESTONE_DIR/active/$MILESTONE_ID.yaml\""
