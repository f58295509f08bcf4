-- milestone_persist: the same schema for PostgreSQL (11 or newer, database encoding UTF8)
--
-- milestone-coordination.sql tells the model; tables, columns, vocabularies, views and triggers here are the same.
-- The marked part is made from it; functions, views and triggers are written by hand, as SQLite's cannot be translated.
-- The program runs this file in a schema of its own (milestone_persist) when it first uses a database. By hand:
--   psql -1 -c 'CREATE SCHEMA milestone_persist' -c 'SET search_path = milestone_persist' -f THIS-FILE DATABASE
--
-- What PostgreSQL needs otherwise:
--   Text is compared by its bytes (COLLATE "C"), so that times sort as they stand and ids as in SQLite.
--   JSON columns are TEXT, because a value comes back byte for byte; json_kind() holds them to JSON.
--   A session's last_activity is set at the commit, and housekeeping skips rows that others hold, so that agents
--   of one session neither wait for each other nor deadlock.

CREATE TABLE schema_version (
  version    BIGINT PRIMARY KEY,
  applied_at TEXT COLLATE "C" NOT NULL
);

-- The time in UTC as it is stored everywhere, moved by an interval.
CREATE FUNCTION utc_now(shift interval DEFAULT '0') RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT to_char((clock_timestamp() AT TIME ZONE 'UTC') + shift, 'YYYY-MM-DD HH24:MI:SS.MS') $$;

CREATE FUNCTION minutes_since(stored text) RETURNS double precision LANGUAGE sql VOLATILE AS
$$ SELECT (extract(epoch FROM (clock_timestamp() AT TIME ZONE 'UTC') - stored::timestamp) / 60)::double precision $$;

-- object, array, string, number, boolean or null; '' for a text that is not JSON.
CREATE FUNCTION json_kind(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN json_typeof(value::json);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN '';
END $$;

CREATE FUNCTION is_json_strings(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM json_array_elements(value::json) AS item WHERE json_typeof(item) <> 'string');
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN false;
END $$;

-- made by `python3 -m milestone_persist generate` from milestone-coordination.sql: do not edit

CREATE TABLE milestones (
  id         TEXT COLLATE "C" PRIMARY KEY NOT NULL CHECK (id <> ''),
  title      TEXT COLLATE "C" NOT NULL DEFAULT '',
  status     TEXT COLLATE "C" NOT NULL DEFAULT 'active',
  priority   TEXT COLLATE "C" NOT NULL DEFAULT 'medium',
  data       TEXT COLLATE "C" NOT NULL DEFAULT '',          -- the record, where it is not kept as a file
  created_at TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  updated_at TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  file_path  TEXT COLLATE "C",                              -- the record's file, relative to the data directory
  file_stamp TEXT COLLATE "C",                              -- its time and size when it was last indexed
  archived_at TEXT COLLATE "C",                             -- when the record was taken out of the active ones
  version    BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1) -- changes of the record
);
CREATE INDEX milestones_by_status ON milestones (status);

-- A lease on a milestone: its owner's until expires_at, then anybody's.
CREATE TABLE milestone_locks (
  milestone_id TEXT COLLATE "C" PRIMARY KEY NOT NULL CHECK (milestone_id <> ''),
  owner        TEXT COLLATE "C" NOT NULL CHECK (owner <> ''),
  acquired_at  TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  expires_at   TEXT COLLATE "C" NOT NULL
);

CREATE TABLE coordination_sessions (
  session_id     TEXT COLLATE "C" PRIMARY KEY NOT NULL CHECK (session_id <> ''),
  milestone_id   TEXT COLLATE "C" REFERENCES milestones (id),
  operation_type TEXT COLLATE "C" NOT NULL DEFAULT 'execution'
                 CHECK (operation_type = 'planning' OR operation_type = 'execution' OR operation_type = 'validation'
                        OR operation_type = 'recovery' OR operation_type = 'cleanup'),
  phase          TEXT COLLATE "C" CHECK (phase = 'design' OR phase = 'spec' OR phase = 'task' OR phase = 'execute'),
  coordinator_id TEXT COLLATE "C",
  agent_count    BIGINT NOT NULL DEFAULT 0 CHECK (agent_count >= 0),
  progress       DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
  status         TEXT COLLATE "C" NOT NULL DEFAULT 'active'
                 CHECK (status = 'active' OR status = 'paused' OR status = 'completed' OR status = 'failed'
                        OR status = 'abandoned'),
  configuration  TEXT COLLATE "C" NOT NULL DEFAULT '{}'
                 CHECK (json_kind(configuration) = 'object'),
  created_at     TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  last_activity  TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  completed_at   TEXT COLLATE "C"
);
CREATE INDEX coordination_sessions_by_status ON coordination_sessions (status, last_activity);
CREATE INDEX coordination_sessions_by_milestone ON coordination_sessions (milestone_id);

CREATE TABLE agent_registry (
  agent_id        TEXT COLLATE "C" PRIMARY KEY NOT NULL CHECK (agent_id <> ''),
  agent_type      TEXT COLLATE "C" NOT NULL CHECK (
                    agent_type = 'milestone-coordinator' OR agent_type = 'milestone-executor'
                    OR agent_type = 'milestone-planner' OR agent_type = 'scope-analyzer'
                    OR agent_type = 'estimation-agent' OR agent_type = 'risk-assessor' OR agent_type = 'kiro-strategy'
                    OR agent_type = 'planning-aggregator' OR agent_type = 'design-phase' OR agent_type = 'spec-phase'
                    OR agent_type = 'task-phase' OR agent_type = 'execute-phase' OR agent_type = 'git-operations'
                    OR agent_type = 'progress-tracker' OR agent_type = 'validation'
                    OR agent_type = 'feature-implementation' OR agent_type = 'retry-handler'
                    OR agent_type = 'unregistered'
                    OR (substr(agent_type, 1, 2) = 'x-' AND length(agent_type) > 2)),
  milestone_id    TEXT COLLATE "C" REFERENCES milestones (id),
  session_id      TEXT COLLATE "C" NOT NULL REFERENCES coordination_sessions (session_id) ON DELETE CASCADE,
  status          TEXT COLLATE "C" NOT NULL DEFAULT 'active'
                  CHECK (status = 'spawning' OR status = 'active' OR status = 'paused' OR status = 'completed'
                         OR status = 'failed' OR status = 'terminated'),
  capabilities    TEXT COLLATE "C" NOT NULL DEFAULT '[]'
                  CONSTRAINT capabilities_must_be_an_array_of_strings CHECK (is_json_strings(capabilities)),
  current_task    TEXT COLLATE "C",
  current_phase   TEXT COLLATE "C" CHECK (current_phase = 'design' OR current_phase = 'spec' OR current_phase = 'task'
                              OR current_phase = 'execute'),
  resource_usage  TEXT COLLATE "C" NOT NULL DEFAULT '{}'
                  CHECK (json_kind(resource_usage) = 'object'),
  spawn_time      TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  last_heartbeat  TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  completion_time TEXT COLLATE "C",
  error_info      TEXT COLLATE "C",
  removed_version BIGINT NOT NULL DEFAULT 0,   -- the highest version among its state keys that were removed
  life            BIGINT NOT NULL DEFAULT 1 CHECK (life >= 1), -- a registering begins one
  client_session  TEXT COLLATE "C",                         -- its client's session or thread, if that is known
  briefed_at      TEXT COLLATE "C",                         -- when it was last told what is new
  rung_message    BIGINT NOT NULL DEFAULT 0 CHECK (rung_message >= 0) -- the newest a hook sent it back for
);
CREATE INDEX agent_registry_by_session ON agent_registry (session_id);
CREATE INDEX agent_registry_by_milestone ON agent_registry (milestone_id);
CREATE INDEX agent_registry_by_client ON agent_registry (client_session) WHERE client_session IS NOT NULL;
CREATE INDEX agent_registry_alive ON agent_registry (last_heartbeat)
  WHERE status IN ('spawning', 'active');
CREATE INDEX agent_registry_failed ON agent_registry (session_id) WHERE status = 'failed';

CREATE TABLE agent_messages (
  id               BIGINT PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
  session_id       TEXT COLLATE "C" NOT NULL REFERENCES coordination_sessions (session_id) ON DELETE CASCADE,
  from_agent       TEXT COLLATE "C" NOT NULL CHECK (from_agent <> ''),
  to_agent         TEXT COLLATE "C" NOT NULL CHECK (to_agent <> ''),
  message_type     TEXT COLLATE "C" NOT NULL CHECK (
                     message_type = 'task_assignment' OR message_type = 'progress_update'
                     OR message_type = 'coordination_request' OR message_type = 'validation_result'
                     OR message_type = 'error_report' OR message_type = 'completion_notification'
                     OR message_type = 'resource_request' OR message_type = 'phase_transition'
                     OR message_type = 'checkpoint_created'
                     OR (substr(message_type, 1, 2) = 'x-' AND length(message_type) > 2)),
  payload          TEXT COLLATE "C" NOT NULL CHECK (json_kind(payload) = 'object'),
  priority         BIGINT NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 10),
  created_at       TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  delivered_at     TEXT COLLATE "C",
  processed_at     TEXT COLLATE "C",
  acknowledged_at  TEXT COLLATE "C",
  retry_count      BIGINT NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
  dead_lettered_at TEXT COLLATE "C",
  taken_in_life    BIGINT, -- of to_agent
  lease_until      TEXT COLLATE "C",                        -- a taken one is its taker's until then
  sent_for         TEXT COLLATE "C",                        -- the milestone it was meant for; NULL: nobody knows
  is_broadcast     BIGINT NOT NULL DEFAULT 0 CHECK (is_broadcast IN (0, 1)), -- whether others got it too
  CHECK (acknowledged_at IS NULL OR delivered_at IS NOT NULL)
);
CREATE INDEX agent_messages_pending ON agent_messages (to_agent, priority DESC, id)
  WHERE delivered_at IS NULL AND dead_lettered_at IS NULL;
CREATE INDEX agent_messages_taken ON agent_messages (to_agent)
  WHERE delivered_at IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL;
CREATE INDEX agent_messages_dead ON agent_messages (session_id, dead_lettered_at)
  WHERE dead_lettered_at IS NOT NULL;
CREATE INDEX agent_messages_by_session ON agent_messages (session_id);

CREATE TABLE agent_state (
  agent_id    TEXT COLLATE "C" NOT NULL REFERENCES agent_registry (agent_id) ON DELETE CASCADE,
  state_key   TEXT COLLATE "C" NOT NULL CHECK (state_key <> ''),
  state_value TEXT COLLATE "C" NOT NULL,                    -- exactly the text that was saved
  state_type  TEXT COLLATE "C" NOT NULL DEFAULT 'user_data'
              CHECK (state_type = 'checkpoint' OR state_type = 'progress' OR state_type = 'user_data'
                     OR state_type = 'system_data' OR state_type = 'temp_data'),
  created_at  TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  updated_at  TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  expires_at  TEXT COLLATE "C",
  version     BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1),
  is_json     BIGINT NOT NULL DEFAULT 0 CHECK (is_json IN (0, 1)),
  saved_in    TEXT COLLATE "C",                             -- the session in which it was saved, whose result it is
  PRIMARY KEY (agent_id, state_key),
  CHECK (is_json = 0 OR json_kind(state_value) <> '')
);
CREATE INDEX agent_state_expiring ON agent_state (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX agent_state_by_key ON agent_state (state_key);
CREATE INDEX agent_state_by_session ON agent_state (saved_in);

CREATE TABLE agent_checkpoints (
  checkpoint_id   TEXT COLLATE "C" PRIMARY KEY NOT NULL CHECK (checkpoint_id <> ''),
  agent_id        TEXT COLLATE "C" NOT NULL REFERENCES agent_registry (agent_id) ON DELETE CASCADE,
  session_id      TEXT COLLATE "C" NOT NULL REFERENCES coordination_sessions (session_id) ON DELETE CASCADE,
  checkpoint_type TEXT COLLATE "C" NOT NULL DEFAULT 'automatic'
                  CHECK (checkpoint_type = 'automatic' OR checkpoint_type = 'manual'
                         OR checkpoint_type = 'phase_completion' OR checkpoint_type = 'error_recovery'),
  state_snapshot  TEXT COLLATE "C" NOT NULL CHECK (json_kind(state_snapshot) = 'object'),
  file_references TEXT COLLATE "C" NOT NULL DEFAULT '[]'
                  CHECK (json_kind(file_references) = 'array'),
  created_at      TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  retention_until TEXT COLLATE "C"
);
CREATE INDEX agent_checkpoints_by_agent ON agent_checkpoints (agent_id, created_at);
CREATE INDEX agent_checkpoints_by_session ON agent_checkpoints (session_id);
CREATE INDEX agent_checkpoints_expiring ON agent_checkpoints (retention_until)
  WHERE retention_until IS NOT NULL;

CREATE TABLE agent_health_log (
  id            BIGINT PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
  agent_id      TEXT COLLATE "C" NOT NULL REFERENCES agent_registry (agent_id) ON DELETE CASCADE,
  health_status TEXT COLLATE "C" NOT NULL CHECK (health_status = 'healthy' OR health_status = 'degraded'
                                     OR health_status = 'failing' OR health_status = 'unresponsive'),
  cpu_usage     DOUBLE PRECISION,      -- percent
  memory_usage  DOUBLE PRECISION,   -- megabytes
  response_time DOUBLE PRECISION,  -- milliseconds
  error_count   BIGINT NOT NULL DEFAULT 0,
  warning_count BIGINT NOT NULL DEFAULT 0,
  timestamp     TEXT COLLATE "C" NOT NULL DEFAULT utc_now()
);
CREATE INDEX agent_health_log_by_agent ON agent_health_log (agent_id, timestamp);
CREATE INDEX agent_health_log_by_time ON agent_health_log (timestamp);

CREATE TABLE agent_coordination_config (
  key         TEXT COLLATE "C" PRIMARY KEY NOT NULL CHECK (key <> ''),
  value       TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C" NOT NULL DEFAULT '',
  updated_at  TEXT COLLATE "C" NOT NULL DEFAULT utc_now()
);

-- What an operation with a key has answered, so that the same call again does nothing and answers the same.
CREATE TABLE idempotency_keys (
  caller         TEXT COLLATE "C" NOT NULL,
  operation      TEXT COLLATE "C" NOT NULL,
  key            TEXT COLLATE "C" NOT NULL,
  content_digest TEXT COLLATE "C" NOT NULL,                 -- of what was asked for
  result         TEXT COLLATE "C" NOT NULL CHECK (json_kind(result) <> ''),
  created_at     TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  PRIMARY KEY (caller, operation, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

-- One row in a store that does not count: where the rows are. It belongs to the store, and is never moved with them.
CREATE TABLE store_moves (
  moved_to TEXT COLLATE "C" PRIMARY KEY NOT NULL,           -- ENGINE DIRECTORY; after 'from ', of an unfinished copy
  move     TEXT COLLATE "C" NOT NULL DEFAULT '',            -- which move it was
  noted_at TEXT COLLATE "C" NOT NULL DEFAULT utc_now()
);

-- What happened, for a timeline. No foreign keys: the log outlives what it tells of.
CREATE TABLE events (
  id           BIGINT PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
  timestamp    TEXT COLLATE "C" NOT NULL DEFAULT utc_now(),
  event        TEXT COLLATE "C" NOT NULL CHECK (event <> ''),
  session_id   TEXT COLLATE "C",
  agent_id     TEXT COLLATE "C",
  milestone_id TEXT COLLATE "C",
  backend      TEXT COLLATE "C",
  detail       TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX events_by_session ON events (session_id, id) WHERE session_id IS NOT NULL;
CREATE INDEX events_by_milestone ON events (milestone_id, id) WHERE milestone_id IS NOT NULL;
CREATE INDEX events_by_time ON events (timestamp);

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

INSERT INTO schema_version (version, applied_at) VALUES (3, utc_now());

-- end of what is made

CREATE VIEW active_agents AS
  SELECT a.agent_id, a.agent_type, a.milestone_id, a.session_id, a.status, a.current_task, a.current_phase,
         a.last_heartbeat, minutes_since(a.last_heartbeat) AS minutes_since_heartbeat,
         s.operation_type, s.phase, s.progress, a.spawn_time
  FROM agent_registry a JOIN coordination_sessions s ON s.session_id = a.session_id
  WHERE a.status IN ('spawning', 'active');

CREATE VIEW agent_message_queue AS
  SELECT id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, retry_count,
         minutes_since(created_at) AS minutes_waiting, minutes_since(created_at) AS age_minutes
  FROM agent_messages
  WHERE delivered_at IS NULL AND dead_lettered_at IS NULL
  ORDER BY priority DESC, id;

CREATE VIEW stale_sessions AS
  SELECT s.session_id, s.milestone_id, s.operation_type, s.phase, s.progress, s.last_activity,
         minutes_since(s.last_activity) AS minutes_inactive, s.agent_count,
         (SELECT count(*) FROM agent_registry a
          WHERE a.session_id = s.session_id AND a.status IN ('spawning', 'active')) AS active_agents,
         (SELECT count(*) FROM agent_registry a
          WHERE a.session_id = s.session_id AND a.status = 'failed') AS failed_agents
  FROM coordination_sessions s
  WHERE s.status = 'active' AND s.last_activity < utc_now('-5 minutes');

-- Deferred: the row of the session is locked only while its agents commit, not while they work.
CREATE FUNCTION update_session_activity() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE coordination_sessions SET last_activity = NEW.last_heartbeat
  WHERE session_id = NEW.session_id AND last_activity < NEW.last_heartbeat;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER update_session_activity AFTER UPDATE OF last_heartbeat ON agent_registry
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.last_heartbeat > OLD.last_heartbeat)
EXECUTE FUNCTION update_session_activity();

CREATE FUNCTION cleanup_expired_state() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  -- The agent's row too, because keep_removed_version writes it, and nobody shall wait for another here.
  DELETE FROM agent_state WHERE (agent_id, state_key) IN (
    SELECT s.agent_id, s.state_key FROM agent_state s JOIN agent_registry a ON a.agent_id = s.agent_id
    WHERE s.expires_at <= NEW.updated_at FOR UPDATE SKIP LOCKED);
  RETURN NULL;
END $$;
CREATE TRIGGER cleanup_expired_state AFTER INSERT ON agent_state
FOR EACH ROW EXECUTE FUNCTION cleanup_expired_state();

CREATE FUNCTION name_session_of_state() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  NEW.saved_in := (SELECT session_id FROM agent_registry WHERE agent_id = NEW.agent_id);
  RETURN NEW;
END $$;
CREATE TRIGGER name_session_of_state BEFORE INSERT ON agent_state
FOR EACH ROW WHEN (NEW.saved_in IS NULL) EXECUTE FUNCTION name_session_of_state();

-- A key that is saved anew goes on from there: no version comes twice.
CREATE FUNCTION keep_removed_version() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE agent_registry SET removed_version = OLD.version
  WHERE agent_id = OLD.agent_id AND removed_version < OLD.version;
  RETURN NULL;
END $$;
CREATE TRIGGER keep_removed_version AFTER DELETE ON agent_state
FOR EACH ROW EXECUTE FUNCTION keep_removed_version();

CREATE FUNCTION cleanup_old_checkpoints() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM agent_checkpoints WHERE checkpoint_id IN (
    SELECT checkpoint_id FROM agent_checkpoints outdated WHERE retention_until <= NEW.created_at
      AND EXISTS (SELECT 1 FROM agent_checkpoints newer
                  WHERE newer.agent_id = outdated.agent_id AND newer.created_at > outdated.created_at)
    FOR UPDATE SKIP LOCKED);
  RETURN NULL;
END $$;
CREATE TRIGGER cleanup_old_checkpoints AFTER INSERT ON agent_checkpoints
FOR EACH ROW EXECUTE FUNCTION cleanup_old_checkpoints();
