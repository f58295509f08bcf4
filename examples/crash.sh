#!/bin/sh
# What is unlike a queue: an agent is killed while it holds a task, and another one finishes it.
#
#   sh examples/crash.sh [DIRECTORY]
#
# Needs a shell and Python 3.9 or later, installs nothing, takes about ten seconds. The agents are processes of their
# own; all they share is the coordination store in a fresh directory, which stays for you to look at.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
place=${1:-$(mktemp -d "${TMPDIR:-/tmp}/crash.XXXXXX" 2>/dev/null || mktemp -d "$PWD/crash.XXXXXX")}
unset MILESTONE_DATABASE_URL DATABASE_URL DATABASE_TYPE AGENT_ID SESSION_ID MILESTONE_ID
MILESTONE_DIR=$place/.milestones
MILESTONE_BACKEND=hybrid
ADAPTER=$here/../shell/storage-adapter.sh
export MILESTONE_DIR MILESTONE_BACKEND ADAPTER
# shellcheck source=/dev/null
. "$ADAPTER"

say() { printf '\n== %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

# An agent: takes a task, works on it in steps whose results it saves, and begins where the last one stopped.
worker() { # AGENT
  sh -c '
    . "$ADAPTER"
    AGENT_ID=$1 agent=$1
    messages=$(get_agent_messages "$agent" true 1 --wait 60)
    task=$(printf %s "$messages" | sed "s/.*\"task\":\"\([^\"]*\)\".*/\1/")
    done=$(load_agent_state coord-1 "steps-$task" 0)
    while [ "$done" -lt 4 ]; do
      sleep 0.5
      done=$((done + 1))
      save_agent_state coord-1 "steps-$task" "$done"
      echo "   $agent: $task, step $done of 4"
    done
    send_agent_message "$agent" coord-1 completion_notification "{\"task\": \"$task\", \"by\": \"$agent\"}" >/dev/null
    update_agent_status "$agent" completed' worker "$1" &
  started=$!
}

say "a session with a coordinator and two workers; whoever is silent for 3 seconds counts as dead"
initialize_agent_coordination
register_agent coord-1 milestone-coordinator ms-1 execution-ms-1
for agent in worker-1 worker-2; do register_agent "$agent" feature-implementation ms-1 execution-ms-1; done
AGENT_ID=coord-1 # in whose name the rest is done
export AGENT_ID
run set_storage_config heartbeat_interval 1
run set_storage_config session_timeout 3

say "worker-1 gets a task, takes it and begins; worker-2 waits for one"
run send_agent_message coord-1 worker-1 task_assignment '{"task": "invoice"}'
worker worker-1
first=$started
worker worker-2
second=$started
trap 'kill "$first" "$second" 2>/dev/null || :' EXIT
while [ "$(load_agent_state coord-1 steps-invoice 0)" -lt 2 ]; do sleep 0.1; done

say "kill -9: it says nothing and acknowledges nothing; the task is marked as taken by it"
{ kill -9 "$first" && wait "$first"; } 2>/dev/null || :
run get_agent_messages worker-1 --taken --brief

say "the monitor looks who is silent: the dead one is marked failed, its task goes back into its inbox"
while [ "$(update_agent_status worker-1)" = active ]; do
  sleep 1
  checked=$(start_session_monitor --once)
done
printf '%s\n' "$checked"

say "the coordinator hands it on to worker-2, which goes on where worker-1 stopped"
message=$(get_agent_messages worker-1 | sed 's/.*"id":\([0-9]*\).*/\1/')
run send_agent_message coord-1 worker-2 task_assignment '{"task": "invoice"}'
run acknowledge_agent_message worker-1 "$message"
answer=$(get_agent_messages coord-1 true --wait 20 --brief)

say "done: the answer comes from the one that finished the task"
printf '%s\n' "$answer"
[ "$(load_agent_state coord-1 steps-invoice)" = 4 ]
case $answer in *'"by":"worker-2"'*) ;; *) echo "no answer of worker-2" >&2; exit 1 ;; esac
wait "$second"

say "all of it"
run list_coordination_events --limit 5
printf '\nThe store: %s\n' "$MILESTONE_DIR"
