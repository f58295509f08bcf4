-- milestone_persist: the canonical schema of .milestones/coordination.db
--
-- The model. A MILESTONE is a piece of work. A COORDINATION SESSION is one run of several agents at it
-- (planning it, executing it, …). AGENTS register in a session and renew their heartbeat with every operation;
-- a session is as active as its latest agent. Agents keep STATE (key and value, readable by every other agent),
-- send MESSAGES (one row a recipient: pending, then taken, then acknowledged, or at last a dead letter) and make
-- CHECKPOINTS (all of an agent's state at one instant). EVENTS and the HEALTH LOG say what happened.
--
-- The life of a message is told by its times:
--   delivered_at NULL                              pending: it lies in the inbox of to_agent
--   delivered_at set, acknowledged_at NULL         taken: goes back to the inbox when its taker fails or registers again,
--                                                  and at lease_until, from when on it counts as pending
--   acknowledged_at set                            done
--   dead_lettered_at set                           its takers failed too often: kept, never handed out again
--
-- Times are UTC text 'YYYY-MM-DD HH:MM:SS.SSS', made by the client, good for date functions and plain comparison.
-- Every vocabulary and every JSON column is held by a CHECK. Foreign keys: PRAGMA foreign_keys = ON.
-- Query it freely with sqlite3; names of tables, columns and values are stable.

PRAGMA application_id = 1297305677;
PRAGMA user_version = 3;

CREATE TABLE IF NOT EXISTS milestones (
  id         TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
  title      TEXT NOT NULL DEFAULT '',
  status     TEXT NOT NULL DEFAULT 'active',
  priority   TEXT NOT NULL DEFAULT 'medium',
  data       TEXT NOT NULL DEFAULT '',          -- the record, where it is not kept as a file
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  file_path  TEXT,                              -- the record's file, relative to the data directory
  file_stamp TEXT,                              -- its time and size when it was last indexed
  archived_at TEXT,                             -- when the record was taken out of the active ones
  version    INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1 AND typeof(version) = 'integer') -- changes of the record
);
CREATE INDEX IF NOT EXISTS milestones_by_status ON milestones (status);

-- A lease on a milestone: its owner's until expires_at, then anybody's.
CREATE TABLE IF NOT EXISTS milestone_locks (
  milestone_id TEXT PRIMARY KEY NOT NULL CHECK (milestone_id <> ''),
  owner        TEXT NOT NULL CHECK (owner <> ''),
  acquired_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  expires_at   TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS coordination_sessions (
  session_id     TEXT PRIMARY KEY NOT NULL CHECK (session_id <> ''),
  milestone_id   TEXT REFERENCES milestones (id),
  operation_type TEXT NOT NULL DEFAULT 'execution'
                 CHECK (operation_type = 'planning' OR operation_type = 'execution' OR operation_type = 'validation'
                        OR operation_type = 'recovery' OR operation_type = 'cleanup'),
  phase          TEXT CHECK (phase = 'design' OR phase = 'spec' OR phase = 'task' OR phase = 'execute'),
  coordinator_id TEXT,
  agent_count    INTEGER NOT NULL DEFAULT 0 CHECK (agent_count >= 0 AND typeof(agent_count) = 'integer'),
  progress       NUMERIC NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
  status         TEXT NOT NULL DEFAULT 'active'
                 CHECK (status = 'active' OR status = 'paused' OR status = 'completed' OR status = 'failed'
                        OR status = 'abandoned'),
  configuration  TEXT NOT NULL DEFAULT '{}'
                 CHECK (json_valid(configuration) AND json_type(configuration) = 'object'),
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  last_activity  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  completed_at   TEXT
);
CREATE INDEX IF NOT EXISTS coordination_sessions_by_status ON coordination_sessions (status, last_activity);
CREATE INDEX IF NOT EXISTS coordination_sessions_by_milestone ON coordination_sessions (milestone_id);

CREATE TABLE IF NOT EXISTS agent_registry (
  agent_id        TEXT PRIMARY KEY NOT NULL CHECK (agent_id <> ''),
  agent_type      TEXT NOT NULL CHECK (
                    agent_type = 'milestone-coordinator' OR agent_type = 'milestone-executor'
                    OR agent_type = 'milestone-planner' OR agent_type = 'scope-analyzer'
                    OR agent_type = 'estimation-agent' OR agent_type = 'risk-assessor' OR agent_type = 'kiro-strategy'
                    OR agent_type = 'planning-aggregator' OR agent_type = 'design-phase' OR agent_type = 'spec-phase'
                    OR agent_type = 'task-phase' OR agent_type = 'execute-phase' OR agent_type = 'git-operations'
                    OR agent_type = 'progress-tracker' OR agent_type = 'validation'
                    OR agent_type = 'feature-implementation' OR agent_type = 'retry-handler'
                    OR agent_type = 'unregistered'
                    OR (substr(agent_type, 1, 2) = 'x-' AND length(agent_type) > 2)),
  milestone_id    TEXT REFERENCES milestones (id),
  session_id      TEXT NOT NULL REFERENCES coordination_sessions (session_id) ON DELETE CASCADE,
  status          TEXT NOT NULL DEFAULT 'active'
                  CHECK (status = 'spawning' OR status = 'active' OR status = 'paused' OR status = 'completed'
                         OR status = 'failed' OR status = 'terminated'),
  capabilities    TEXT NOT NULL DEFAULT '[]'
                  CHECK (json_valid(capabilities) AND json_type(capabilities) = 'array'),
  current_task    TEXT,
  current_phase   TEXT CHECK (current_phase = 'design' OR current_phase = 'spec' OR current_phase = 'task'
                              OR current_phase = 'execute'),
  resource_usage  TEXT NOT NULL DEFAULT '{}'
                  CHECK (json_valid(resource_usage) AND json_type(resource_usage) = 'object'),
  spawn_time      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  last_heartbeat  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  completion_time TEXT,
  error_info      TEXT,
  removed_version INTEGER NOT NULL DEFAULT 0,   -- the highest version among its state keys that were removed
  life            INTEGER NOT NULL DEFAULT 1 CHECK (life >= 1 AND typeof(life) = 'integer'), -- a registering begins one
  client_session  TEXT,                         -- its client's session or thread, if that is known
  briefed_at      TEXT,                         -- when it was last told what is new
  rung_message    INTEGER NOT NULL DEFAULT 0 CHECK (rung_message >= 0 AND typeof(rung_message) = 'integer') -- the newest a hook sent it back for
);
CREATE INDEX IF NOT EXISTS agent_registry_by_session ON agent_registry (session_id);
CREATE INDEX IF NOT EXISTS agent_registry_by_milestone ON agent_registry (milestone_id);
CREATE INDEX IF NOT EXISTS agent_registry_by_client ON agent_registry (client_session) WHERE client_session IS NOT NULL;
CREATE INDEX IF NOT EXISTS agent_registry_alive ON agent_registry (last_heartbeat)
  WHERE status IN ('spawning', 'active');
CREATE INDEX IF NOT EXISTS agent_registry_failed ON agent_registry (session_id) WHERE status = 'failed';

CREATE TABLE IF NOT EXISTS agent_messages (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  session_id       TEXT NOT NULL REFERENCES coordination_sessions (session_id) ON DELETE CASCADE,
  from_agent       TEXT NOT NULL CHECK (from_agent <> ''),
  to_agent         TEXT NOT NULL CHECK (to_agent <> ''),
  message_type     TEXT NOT NULL CHECK (
                     message_type = 'task_assignment' OR message_type = 'progress_update'
                     OR message_type = 'coordination_request' OR message_type = 'validation_result'
                     OR message_type = 'error_report' OR message_type = 'completion_notification'
                     OR message_type = 'resource_request' OR message_type = 'phase_transition'
                     OR message_type = 'checkpoint_created'
                     OR (substr(message_type, 1, 2) = 'x-' AND length(message_type) > 2)),
  payload          TEXT NOT NULL CHECK (json_valid(payload) AND json_type(payload) = 'object'),
  priority         INTEGER NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 10 AND typeof(priority) = 'integer'),
  created_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  delivered_at     TEXT,
  processed_at     TEXT,
  acknowledged_at  TEXT,
  retry_count      INTEGER NOT NULL DEFAULT 0 CHECK (retry_count >= 0 AND typeof(retry_count) = 'integer'),
  dead_lettered_at TEXT,
  taken_in_life    INTEGER CHECK (typeof(taken_in_life) IN ('integer', 'null')), -- of to_agent
  lease_until      TEXT,                        -- a taken one is its taker's until then
  sent_for         TEXT,                        -- the milestone it was meant for; NULL: nobody knows
  is_broadcast     INTEGER NOT NULL DEFAULT 0 CHECK (is_broadcast IN (0, 1)), -- whether others got it too
  CHECK (acknowledged_at IS NULL OR delivered_at IS NOT NULL)
);
CREATE INDEX IF NOT EXISTS agent_messages_pending ON agent_messages (to_agent, priority DESC, id)
  WHERE delivered_at IS NULL AND dead_lettered_at IS NULL;
CREATE INDEX IF NOT EXISTS agent_messages_taken ON agent_messages (to_agent)
  WHERE delivered_at IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL;
CREATE INDEX IF NOT EXISTS agent_messages_dead ON agent_messages (session_id, dead_lettered_at)
  WHERE dead_lettered_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS agent_messages_by_session ON agent_messages (session_id);

CREATE TABLE IF NOT EXISTS agent_state (
  agent_id    TEXT NOT NULL REFERENCES agent_registry (agent_id) ON DELETE CASCADE,
  state_key   TEXT NOT NULL CHECK (state_key <> ''),
  state_value TEXT NOT NULL,                    -- exactly the text that was saved
  state_type  TEXT NOT NULL DEFAULT 'user_data'
              CHECK (state_type = 'checkpoint' OR state_type = 'progress' OR state_type = 'user_data'
                     OR state_type = 'system_data' OR state_type = 'temp_data'),
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  expires_at  TEXT,
  version     INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1 AND typeof(version) = 'integer'),
  is_json     INTEGER NOT NULL DEFAULT 0 CHECK (is_json IN (0, 1)),
  saved_in    TEXT,                             -- the session in which it was saved, whose result it is
  PRIMARY KEY (agent_id, state_key),
  CHECK (is_json = 0 OR json_valid(state_value))
);
CREATE INDEX IF NOT EXISTS agent_state_expiring ON agent_state (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS agent_state_by_key ON agent_state (state_key);
CREATE INDEX IF NOT EXISTS agent_state_by_session ON agent_state (saved_in);

CREATE TABLE IF NOT EXISTS agent_checkpoints (
  checkpoint_id   TEXT PRIMARY KEY NOT NULL CHECK (checkpoint_id <> ''),
  agent_id        TEXT NOT NULL REFERENCES agent_registry (agent_id) ON DELETE CASCADE,
  session_id      TEXT NOT NULL REFERENCES coordination_sessions (session_id) ON DELETE CASCADE,
  checkpoint_type TEXT NOT NULL DEFAULT 'automatic'
                  CHECK (checkpoint_type = 'automatic' OR checkpoint_type = 'manual'
                         OR checkpoint_type = 'phase_completion' OR checkpoint_type = 'error_recovery'),
  state_snapshot  TEXT NOT NULL CHECK (json_valid(state_snapshot) AND json_type(state_snapshot) = 'object'),
  file_references TEXT NOT NULL DEFAULT '[]'
                  CHECK (json_valid(file_references) AND json_type(file_references) = 'array'),
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  retention_until TEXT
);
CREATE INDEX IF NOT EXISTS agent_checkpoints_by_agent ON agent_checkpoints (agent_id, created_at);
CREATE INDEX IF NOT EXISTS agent_checkpoints_by_session ON agent_checkpoints (session_id);
CREATE INDEX IF NOT EXISTS agent_checkpoints_expiring ON agent_checkpoints (retention_until)
  WHERE retention_until IS NOT NULL;

CREATE TABLE IF NOT EXISTS agent_health_log (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  agent_id      TEXT NOT NULL REFERENCES agent_registry (agent_id) ON DELETE CASCADE,
  health_status TEXT NOT NULL CHECK (health_status = 'healthy' OR health_status = 'degraded'
                                     OR health_status = 'failing' OR health_status = 'unresponsive'),
  cpu_usage     REAL CHECK (typeof(cpu_usage) IN ('real', 'null')),      -- percent
  memory_usage  REAL CHECK (typeof(memory_usage) IN ('real', 'null')),   -- megabytes
  response_time REAL CHECK (typeof(response_time) IN ('real', 'null')),  -- milliseconds
  error_count   INTEGER NOT NULL DEFAULT 0 CHECK (typeof(error_count) = 'integer'),
  warning_count INTEGER NOT NULL DEFAULT 0 CHECK (typeof(warning_count) = 'integer'),
  timestamp     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX IF NOT EXISTS agent_health_log_by_agent ON agent_health_log (agent_id, timestamp);
CREATE INDEX IF NOT EXISTS agent_health_log_by_time ON agent_health_log (timestamp);

CREATE TABLE IF NOT EXISTS agent_coordination_config (
  key         TEXT PRIMARY KEY NOT NULL CHECK (key <> ''),
  value       TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

-- What an operation with a key has answered, so that the same call again does nothing and answers the same.
CREATE TABLE IF NOT EXISTS idempotency_keys (
  caller         TEXT NOT NULL,
  operation      TEXT NOT NULL,
  key            TEXT NOT NULL,
  content_digest TEXT NOT NULL,                 -- of what was asked for
  result         TEXT NOT NULL CHECK (json_valid(result)),
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY (caller, operation, key)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_time ON idempotency_keys (created_at);

-- One row in a store that does not count: where the rows are. It belongs to the store, and is never moved with them.
CREATE TABLE IF NOT EXISTS store_moves (
  moved_to TEXT PRIMARY KEY NOT NULL,           -- ENGINE DIRECTORY; after 'from ', of an unfinished copy
  move     TEXT NOT NULL DEFAULT '',            -- which move it was
  noted_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

-- What happened, for a timeline. No foreign keys: the log outlives what it tells of.
CREATE TABLE IF NOT EXISTS events (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  event        TEXT NOT NULL CHECK (event <> ''),
  session_id   TEXT,
  agent_id     TEXT,
  milestone_id TEXT,
  backend      TEXT,
  detail       TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS events_by_session ON events (session_id, id) WHERE session_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_milestone ON events (milestone_id, id) WHERE milestone_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_time ON events (timestamp);

CREATE VIEW IF NOT EXISTS active_agents AS
  SELECT a.agent_id, a.agent_type, a.milestone_id, a.session_id, a.status, a.current_task, a.current_phase,
         a.last_heartbeat, (julianday('now') - julianday(a.last_heartbeat)) * 1440 AS minutes_since_heartbeat,
         s.operation_type, s.phase, s.progress, a.spawn_time
  FROM agent_registry a JOIN coordination_sessions s ON s.session_id = a.session_id
  WHERE a.status IN ('spawning', 'active');

CREATE VIEW IF NOT EXISTS agent_message_queue AS
  SELECT id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, retry_count,
         (julianday('now') - julianday(created_at)) * 1440 AS minutes_waiting,
         (julianday('now') - julianday(created_at)) * 1440 AS age_minutes
  FROM agent_messages
  WHERE delivered_at IS NULL AND dead_lettered_at IS NULL
  ORDER BY priority DESC, id;

CREATE VIEW IF NOT EXISTS stale_sessions AS
  SELECT s.session_id, s.milestone_id, s.operation_type, s.phase, s.progress, s.last_activity,
         (julianday('now') - julianday(s.last_activity)) * 1440 AS minutes_inactive, s.agent_count,
         (SELECT count(*) FROM agent_registry a
          WHERE a.session_id = s.session_id AND a.status IN ('spawning', 'active')) AS active_agents,
         (SELECT count(*) FROM agent_registry a
          WHERE a.session_id = s.session_id AND a.status = 'failed') AS failed_agents
  FROM coordination_sessions s
  WHERE s.status = 'active' AND s.last_activity < strftime('%Y-%m-%d %H:%M:%f', 'now', '-5 minutes');

-- They serve the program and people who write with sqlite3 themselves alike.
CREATE TRIGGER IF NOT EXISTS update_session_activity AFTER UPDATE OF last_heartbeat ON agent_registry
WHEN NEW.last_heartbeat > OLD.last_heartbeat
BEGIN
  UPDATE coordination_sessions SET last_activity = NEW.last_heartbeat
  WHERE session_id = NEW.session_id AND last_activity < NEW.last_heartbeat;
END;

CREATE TRIGGER IF NOT EXISTS cleanup_expired_state AFTER INSERT ON agent_state
BEGIN
  DELETE FROM agent_state WHERE expires_at <= NEW.updated_at;
END;

CREATE TRIGGER IF NOT EXISTS name_session_of_state AFTER INSERT ON agent_state WHEN NEW.saved_in IS NULL
BEGIN
  UPDATE agent_state SET saved_in = (SELECT session_id FROM agent_registry WHERE agent_id = NEW.agent_id)
  WHERE agent_id = NEW.agent_id AND state_key = NEW.state_key;
END;

-- A key that is saved anew goes on from there: no version comes twice.
CREATE TRIGGER IF NOT EXISTS keep_removed_version AFTER DELETE ON agent_state
BEGIN
  UPDATE agent_registry SET removed_version = OLD.version
  WHERE agent_id = OLD.agent_id AND removed_version < OLD.version;
END;

CREATE TRIGGER IF NOT EXISTS cleanup_old_checkpoints AFTER INSERT ON agent_checkpoints
BEGIN
  DELETE FROM agent_checkpoints WHERE retention_until <= NEW.created_at
    AND EXISTS (SELECT 1 FROM agent_checkpoints newer
                WHERE newer.agent_id = agent_checkpoints.agent_id
                  AND newer.created_at > agent_checkpoints.created_at);
END;

CREATE TRIGGER IF NOT EXISTS check_capabilities_insert BEFORE INSERT ON agent_registry
WHEN json_valid(NEW.capabilities)
BEGIN
  SELECT RAISE(ABORT, 'capabilities must be a JSON array of strings')
  FROM json_each(NEW.capabilities) WHERE type <> 'text';
END;

CREATE TRIGGER IF NOT EXISTS check_capabilities_update BEFORE UPDATE OF capabilities ON agent_registry
WHEN json_valid(NEW.capabilities)
BEGIN
  SELECT RAISE(ABORT, 'capabilities must be a JSON array of strings')
  FROM json_each(NEW.capabilities) WHERE type <> 'text';
END;

INSERT INTO agent_coordination_config (key, value, description) VALUES
  ('heartbeat_interval', '30', 'seconds between heartbeats an agent should keep to'),
  ('message_retry_limit', '3', 'how often a message goes back to the inbox before it is a dead letter'),
  ('interrupted_after', '300', 'seconds without activity after which an active session counts as interrupted'),
  ('session_timeout', '1800', 'seconds without heartbeat after which an agent is stale'),
  ('checkpoint_interval', '300', 'seconds after which an agent at work should make a checkpoint; nothing makes one by itself'),
  ('health_check_interval', '60', 'seconds of silence after which an agent that reports its health is noted as unresponsive'),
  ('cleanup_retention_days', '7', 'days that ended sessions, checkpoints and logs are kept'),
  ('strict_agents', 'false', 'refuse agents and agent types that are not known'),
  ('planning_artifacts', 'planning-scope planning-estimates planning-risks planning-kiro milestone-plan',
   'state keys a planning session is expected to save'),
  ('agent_spawn_command', '', 'command run for each agent that recovery wants started; empty: only print it'),
  ('synchronous', 'full', 'full: every commit survives a power cut; normal: faster'),
  ('hybrid_from', '25', 'number of milestones from which the hybrid backend is used'),
  ('database_from', '100', 'number of milestones from which the database backend is used')
ON CONFLICT (key) DO NOTHING;
