# The scope agent: takes the task, measures the directory named in it, saves the scope, hands on to the estimation agent.
# shellcheck shell=sh
set -eu
# shellcheck source=/dev/null
. "$AGENTS/common.sh"

task=$(take_message)
directory=$(printf '%s' "$task" | think field directory)
next=$(printf '%s' "$task" | think field next_agent)
say "took its task: measure $directory"
agent_heartbeat "$AGENT_ID" healthy

scope=$(think scope "$directory")
save_agent_state "$AGENT_ID" planning-scope "$scope"
summary=$(printf '%s' "$scope" | think summary)
say "saved planning-scope: $summary"
create_agent_checkpoint "$AGENT_ID" phase_completion >/dev/null

send_agent_message "$AGENT_ID" "$COORDINATOR_ID" progress_update "$(think note "$summary")" >/dev/null
send_agent_message "$AGENT_ID" "$next" task_assignment "$(think hand_over "$AGENT_ID" planning-scope)" 8 >/dev/null
update_agent_status "$AGENT_ID" completed
say "handed on to $next and is done"
