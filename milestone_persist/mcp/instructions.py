"""The server's instructions to a model before its first call: at most 2 KB, which is what clients show."""
from __future__ import annotations

INSTRUCTIONS = """\
Coordination of several agents on one milestone: who is at work, messages, saved state, recovery. The data lies in \
the project's .milestones/ folder, shared with shell functions of the same names; no crash loses it.

1. Register first: register_agent with an agent_id that contains the milestone and is yours alone \
(executor-ms-123-1), agent_type, milestone_id (ms-123) and session_id (execution-ms-123-1, planning-ms-123-1). Give \
the same agent_id in every later call: several agents use this server.
2. Take work: get_agent_messages {agent_id, take: true}. Each message is handed to you alone; add wait: 45 to wait \
for one, and call again to wait on. The next take acknowledges what you took before; if a note names one that you \
have not seen, requeue_agent_message brings it back.
3. Save results as you go: save_agent_state {agent_id, state_key, value}; others read them with load_agent_state, \
list_agent_state. Recovery looks for the keys planning-scope, planning-estimates, planning-risks, planning-kiro, \
milestone-plan, or design-phase-results, spec-1, task-1, execute-phase-results. create_agent_checkpoint before \
anything risky.
4. Tell others: send_agent_message {from_agent, to_agent, message_type, payload}; to_agent "" means everybody in the \
session. Save what is long as state and send its key.
5. End: update_agent_status {agent_id, status: "completed"}. The coordinator ends the session: \
complete_planning_session, finalize_milestone_execution or complete_coordination_session.
6. When your context was cut: briefing {agent_id} says where you are. After a crash: detect_interrupted_sessions, \
recover_milestone_session {session_id}, then what it prints. An agent that starts again registers under its old id \
and finds its messages and its state as they were.

Every call renews your heartbeat. Read the last line of a result: it says what to do next. A line such as \
`requeue_agent_message a 17` is a tool and its arguments in their order. An error has changed nothing unless it says \
so.
"""
