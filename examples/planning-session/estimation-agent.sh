# The estimation agent: takes the message that says where the scope is, loads it, saves the estimates, reports.
# shellcheck shell=sh
set -eu
# shellcheck source=/dev/null
. "$AGENTS/common.sh"

task=$(take_message)
owner=$(printf '%s' "$task" | think field agent)
key=$(printf '%s' "$task" | think field key)
say "took its task: estimate from $key of $owner"

estimates=$(load_agent_state "$owner" "$key" | think estimates)
save_agent_state "$AGENT_ID" planning-estimates "$estimates"
acknowledge_agent_message "$AGENT_ID" "$(printf '%s' "$task" | think field id)"
summary=$(printf '%s' "$estimates" | think summary)
say "saved planning-estimates: $summary"

send_agent_message "$AGENT_ID" "$COORDINATOR_ID" completion_notification "$(think note "$summary")" >/dev/null
update_agent_status "$AGENT_ID" completed
say "is done"
