SET check_function_bodies = false;
CREATE SCHEMA milestone_persist;
CREATE FUNCTION milestone_persist.cleanup_expired_state() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'milestone_persist', 'pg_temp'
    AS $$
BEGIN
  -- The agent's row too, because keep_removed_version writes it, and nobody shall wait for another here.
  DELETE FROM agent_state WHERE (agent_id, state_key) IN (
    SELECT s.agent_id, s.state_key FROM agent_state s JOIN agent_registry a ON a.agent_id = s.agent_id
    WHERE s.expires_at <= NEW.updated_at FOR UPDATE SKIP LOCKED);
  RETURN NULL;
END $$;
CREATE FUNCTION milestone_persist.cleanup_old_checkpoints() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'milestone_persist', 'pg_temp'
    AS $$
BEGIN
  DELETE FROM agent_checkpoints WHERE checkpoint_id IN (
    SELECT checkpoint_id FROM agent_checkpoints outdated WHERE retention_until <= NEW.created_at
      AND EXISTS (SELECT 1 FROM agent_checkpoints newer
                  WHERE newer.agent_id = outdated.agent_id AND newer.created_at > outdated.created_at)
    FOR UPDATE SKIP LOCKED);
  RETURN NULL;
END $$;
CREATE FUNCTION milestone_persist.is_json_strings(value text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM json_array_elements(value::json) AS item WHERE json_typeof(item) <> 'string');
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN false;
END $$;
CREATE FUNCTION milestone_persist.json_kind(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
  RETURN json_typeof(value::json);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN '';
END $$;
CREATE FUNCTION milestone_persist.keep_removed_version() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'milestone_persist', 'pg_temp'
    AS $$
BEGIN
  UPDATE agent_registry SET removed_version = OLD.version
  WHERE agent_id = OLD.agent_id AND removed_version < OLD.version;
  RETURN NULL;
END $$;
CREATE FUNCTION milestone_persist.minutes_since(stored text) RETURNS double precision
    LANGUAGE sql
    AS $$ SELECT (extract(epoch FROM (clock_timestamp() AT TIME ZONE 'UTC') - stored::timestamp) / 60)::double precision $$;
CREATE FUNCTION milestone_persist.name_session_of_state() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'milestone_persist', 'pg_temp'
    AS $$
BEGIN
  NEW.saved_in := (SELECT session_id FROM agent_registry WHERE agent_id = NEW.agent_id);
  RETURN NEW;
END $$;
CREATE FUNCTION milestone_persist.update_session_activity() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'milestone_persist', 'pg_temp'
    AS $$
BEGIN
  UPDATE coordination_sessions SET last_activity = NEW.last_heartbeat
  WHERE session_id = NEW.session_id AND last_activity < NEW.last_heartbeat;
  RETURN NULL;
END $$;
CREATE FUNCTION milestone_persist.utc_now(shift interval DEFAULT '00:00:00'::interval) RETURNS text
    LANGUAGE sql
    AS $$ SELECT to_char((clock_timestamp() AT TIME ZONE 'UTC') + shift, 'YYYY-MM-DD HH24:MI:SS.MS') $$;
CREATE TABLE milestone_persist.agent_registry (
    agent_id text NOT NULL COLLATE pg_catalog."C",
    agent_type text NOT NULL COLLATE pg_catalog."C",
    milestone_id text COLLATE pg_catalog."C",
    session_id text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    capabilities text DEFAULT '[]'::text NOT NULL COLLATE pg_catalog."C",
    current_task text COLLATE pg_catalog."C",
    current_phase text COLLATE pg_catalog."C",
    resource_usage text DEFAULT '{}'::text NOT NULL COLLATE pg_catalog."C",
    spawn_time text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    last_heartbeat text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    completion_time text COLLATE pg_catalog."C",
    error_info text COLLATE pg_catalog."C",
    removed_version bigint DEFAULT 0 NOT NULL,
    life bigint DEFAULT 1 NOT NULL,
    client_session text COLLATE pg_catalog."C",
    CONSTRAINT agent_registry_agent_id_check CHECK ((agent_id <> ''::text)),
    CONSTRAINT agent_registry_agent_type_check CHECK (((agent_type = 'milestone-coordinator'::text) OR (agent_type = 'milestone-executor'::text) OR (agent_type = 'milestone-planner'::text) OR (agent_type = 'scope-analyzer'::text) OR (agent_type = 'estimation-agent'::text) OR (agent_type = 'risk-assessor'::text) OR (agent_type = 'kiro-strategy'::text) OR (agent_type = 'planning-aggregator'::text) OR (agent_type = 'design-phase'::text) OR (agent_type = 'spec-phase'::text) OR (agent_type = 'task-phase'::text) OR (agent_type = 'execute-phase'::text) OR (agent_type = 'git-operations'::text) OR (agent_type = 'progress-tracker'::text) OR (agent_type = 'validation'::text) OR (agent_type = 'feature-implementation'::text) OR (agent_type = 'retry-handler'::text) OR (agent_type = 'unregistered'::text) OR ((substr(agent_type, 1, 2) = 'x-'::text) AND (length(agent_type) > 2)))),
    CONSTRAINT agent_registry_current_phase_check CHECK (((current_phase = 'design'::text) OR (current_phase = 'spec'::text) OR (current_phase = 'task'::text) OR (current_phase = 'execute'::text))),
    CONSTRAINT agent_registry_life_check CHECK ((life >= 1)),
    CONSTRAINT agent_registry_resource_usage_check CHECK ((milestone_persist.json_kind(resource_usage) = 'object'::text)),
    CONSTRAINT agent_registry_status_check CHECK (((status = 'spawning'::text) OR (status = 'active'::text) OR (status = 'paused'::text) OR (status = 'completed'::text) OR (status = 'failed'::text) OR (status = 'terminated'::text))),
    CONSTRAINT capabilities_must_be_an_array_of_strings CHECK (milestone_persist.is_json_strings(capabilities))
);
CREATE TABLE milestone_persist.coordination_sessions (
    session_id text NOT NULL COLLATE pg_catalog."C",
    milestone_id text COLLATE pg_catalog."C",
    operation_type text DEFAULT 'execution'::text NOT NULL COLLATE pg_catalog."C",
    phase text COLLATE pg_catalog."C",
    coordinator_id text COLLATE pg_catalog."C",
    agent_count bigint DEFAULT 0 NOT NULL,
    progress double precision DEFAULT 0 NOT NULL,
    status text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    configuration text DEFAULT '{}'::text NOT NULL COLLATE pg_catalog."C",
    created_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    last_activity text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    completed_at text COLLATE pg_catalog."C",
    CONSTRAINT coordination_sessions_agent_count_check CHECK ((agent_count >= 0)),
    CONSTRAINT coordination_sessions_configuration_check CHECK ((milestone_persist.json_kind(configuration) = 'object'::text)),
    CONSTRAINT coordination_sessions_operation_type_check CHECK (((operation_type = 'planning'::text) OR (operation_type = 'execution'::text) OR (operation_type = 'validation'::text) OR (operation_type = 'recovery'::text) OR (operation_type = 'cleanup'::text))),
    CONSTRAINT coordination_sessions_phase_check CHECK (((phase = 'design'::text) OR (phase = 'spec'::text) OR (phase = 'task'::text) OR (phase = 'execute'::text))),
    CONSTRAINT coordination_sessions_progress_check CHECK (((progress >= (0)::double precision) AND (progress <= (100)::double precision))),
    CONSTRAINT coordination_sessions_session_id_check CHECK ((session_id <> ''::text)),
    CONSTRAINT coordination_sessions_status_check CHECK (((status = 'active'::text) OR (status = 'paused'::text) OR (status = 'completed'::text) OR (status = 'failed'::text) OR (status = 'abandoned'::text)))
);
CREATE VIEW milestone_persist.active_agents AS
 SELECT a.agent_id,
    a.agent_type,
    a.milestone_id,
    a.session_id,
    a.status,
    a.current_task,
    a.current_phase,
    a.last_heartbeat,
    milestone_persist.minutes_since(a.last_heartbeat) AS minutes_since_heartbeat,
    s.operation_type,
    s.phase,
    s.progress,
    a.spawn_time
   FROM (milestone_persist.agent_registry a
     JOIN milestone_persist.coordination_sessions s ON ((s.session_id = a.session_id)))
  WHERE (a.status = ANY (ARRAY['spawning'::text, 'active'::text]));
CREATE TABLE milestone_persist.agent_checkpoints (
    checkpoint_id text NOT NULL COLLATE pg_catalog."C",
    agent_id text NOT NULL COLLATE pg_catalog."C",
    session_id text NOT NULL COLLATE pg_catalog."C",
    checkpoint_type text DEFAULT 'automatic'::text NOT NULL COLLATE pg_catalog."C",
    state_snapshot text NOT NULL COLLATE pg_catalog."C",
    file_references text DEFAULT '[]'::text NOT NULL COLLATE pg_catalog."C",
    created_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    retention_until text COLLATE pg_catalog."C",
    CONSTRAINT agent_checkpoints_checkpoint_id_check CHECK ((checkpoint_id <> ''::text)),
    CONSTRAINT agent_checkpoints_checkpoint_type_check CHECK (((checkpoint_type = 'automatic'::text) OR (checkpoint_type = 'manual'::text) OR (checkpoint_type = 'phase_completion'::text) OR (checkpoint_type = 'error_recovery'::text))),
    CONSTRAINT agent_checkpoints_file_references_check CHECK ((milestone_persist.json_kind(file_references) = 'array'::text)),
    CONSTRAINT agent_checkpoints_state_snapshot_check CHECK ((milestone_persist.json_kind(state_snapshot) = 'object'::text))
);
CREATE TABLE milestone_persist.agent_coordination_config (
    key text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    description text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    updated_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT agent_coordination_config_key_check CHECK ((key <> ''::text))
);
CREATE TABLE milestone_persist.agent_health_log (
    id bigint NOT NULL,
    agent_id text NOT NULL COLLATE pg_catalog."C",
    health_status text NOT NULL COLLATE pg_catalog."C",
    cpu_usage double precision,
    memory_usage double precision,
    response_time double precision,
    error_count bigint DEFAULT 0 NOT NULL,
    warning_count bigint DEFAULT 0 NOT NULL,
    "timestamp" text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT agent_health_log_health_status_check CHECK (((health_status = 'healthy'::text) OR (health_status = 'degraded'::text) OR (health_status = 'failing'::text) OR (health_status = 'unresponsive'::text)))
);
ALTER TABLE milestone_persist.agent_health_log ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME milestone_persist.agent_health_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE milestone_persist.agent_messages (
    id bigint NOT NULL,
    session_id text NOT NULL COLLATE pg_catalog."C",
    from_agent text NOT NULL COLLATE pg_catalog."C",
    to_agent text NOT NULL COLLATE pg_catalog."C",
    message_type text NOT NULL COLLATE pg_catalog."C",
    payload text NOT NULL COLLATE pg_catalog."C",
    priority bigint DEFAULT 5 NOT NULL,
    created_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    delivered_at text COLLATE pg_catalog."C",
    processed_at text COLLATE pg_catalog."C",
    acknowledged_at text COLLATE pg_catalog."C",
    retry_count bigint DEFAULT 0 NOT NULL,
    dead_lettered_at text COLLATE pg_catalog."C",
    taken_in_life bigint,
    lease_until text COLLATE pg_catalog."C",
    sent_for text COLLATE pg_catalog."C",
    CONSTRAINT agent_messages_check CHECK (((acknowledged_at IS NULL) OR (delivered_at IS NOT NULL))),
    CONSTRAINT agent_messages_from_agent_check CHECK ((from_agent <> ''::text)),
    CONSTRAINT agent_messages_message_type_check CHECK (((message_type = 'task_assignment'::text) OR (message_type = 'progress_update'::text) OR (message_type = 'coordination_request'::text) OR (message_type = 'validation_result'::text) OR (message_type = 'error_report'::text) OR (message_type = 'completion_notification'::text) OR (message_type = 'resource_request'::text) OR (message_type = 'phase_transition'::text) OR (message_type = 'checkpoint_created'::text) OR ((substr(message_type, 1, 2) = 'x-'::text) AND (length(message_type) > 2)))),
    CONSTRAINT agent_messages_payload_check CHECK ((milestone_persist.json_kind(payload) = 'object'::text)),
    CONSTRAINT agent_messages_priority_check CHECK (((priority >= 1) AND (priority <= 10))),
    CONSTRAINT agent_messages_retry_count_check CHECK ((retry_count >= 0)),
    CONSTRAINT agent_messages_to_agent_check CHECK ((to_agent <> ''::text))
);
CREATE VIEW milestone_persist.agent_message_queue AS
 SELECT agent_messages.id,
    agent_messages.session_id,
    agent_messages.from_agent,
    agent_messages.to_agent,
    agent_messages.message_type,
    agent_messages.payload,
    agent_messages.priority,
    agent_messages.created_at,
    agent_messages.retry_count,
    milestone_persist.minutes_since(agent_messages.created_at) AS minutes_waiting,
    milestone_persist.minutes_since(agent_messages.created_at) AS age_minutes
   FROM milestone_persist.agent_messages
  WHERE ((agent_messages.delivered_at IS NULL) AND (agent_messages.dead_lettered_at IS NULL))
  ORDER BY agent_messages.priority DESC, agent_messages.id;
ALTER TABLE milestone_persist.agent_messages ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME milestone_persist.agent_messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE milestone_persist.agent_state (
    agent_id text NOT NULL COLLATE pg_catalog."C",
    state_key text NOT NULL COLLATE pg_catalog."C",
    state_value text NOT NULL COLLATE pg_catalog."C",
    state_type text DEFAULT 'user_data'::text NOT NULL COLLATE pg_catalog."C",
    created_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    updated_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    expires_at text COLLATE pg_catalog."C",
    version bigint DEFAULT 1 NOT NULL,
    is_json bigint DEFAULT 0 NOT NULL,
    saved_in text COLLATE pg_catalog."C",
    CONSTRAINT agent_state_check CHECK (((is_json = 0) OR (milestone_persist.json_kind(state_value) <> ''::text))),
    CONSTRAINT agent_state_is_json_check CHECK ((is_json = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT agent_state_state_key_check CHECK ((state_key <> ''::text)),
    CONSTRAINT agent_state_state_type_check CHECK (((state_type = 'checkpoint'::text) OR (state_type = 'progress'::text) OR (state_type = 'user_data'::text) OR (state_type = 'system_data'::text) OR (state_type = 'temp_data'::text))),
    CONSTRAINT agent_state_version_check CHECK ((version >= 1))
);
CREATE TABLE milestone_persist.events (
    id bigint NOT NULL,
    "timestamp" text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL COLLATE pg_catalog."C",
    session_id text COLLATE pg_catalog."C",
    agent_id text COLLATE pg_catalog."C",
    milestone_id text COLLATE pg_catalog."C",
    backend text COLLATE pg_catalog."C",
    detail text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT events_event_check CHECK ((event <> ''::text))
);
ALTER TABLE milestone_persist.events ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME milestone_persist.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE milestone_persist.idempotency_keys (
    caller text NOT NULL COLLATE pg_catalog."C",
    operation text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    content_digest text NOT NULL COLLATE pg_catalog."C",
    result text NOT NULL COLLATE pg_catalog."C",
    created_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT idempotency_keys_result_check CHECK ((milestone_persist.json_kind(result) <> ''::text))
);
CREATE TABLE milestone_persist.milestone_locks (
    milestone_id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    acquired_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    expires_at text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT milestone_locks_milestone_id_check CHECK ((milestone_id <> ''::text)),
    CONSTRAINT milestone_locks_owner_check CHECK ((owner <> ''::text))
);
CREATE TABLE milestone_persist.milestones (
    id text NOT NULL COLLATE pg_catalog."C",
    title text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    priority text DEFAULT 'medium'::text NOT NULL COLLATE pg_catalog."C",
    data text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    created_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    updated_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C",
    file_path text COLLATE pg_catalog."C",
    file_stamp text COLLATE pg_catalog."C",
    archived_at text COLLATE pg_catalog."C",
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT milestones_id_check CHECK ((id <> ''::text)),
    CONSTRAINT milestones_version_check CHECK ((version >= 1))
);
CREATE TABLE milestone_persist.schema_version (
    version bigint NOT NULL,
    applied_at text NOT NULL COLLATE pg_catalog."C"
);
CREATE VIEW milestone_persist.stale_sessions AS
 SELECT s.session_id,
    s.milestone_id,
    s.operation_type,
    s.phase,
    s.progress,
    s.last_activity,
    milestone_persist.minutes_since(s.last_activity) AS minutes_inactive,
    s.agent_count,
    ( SELECT count(*) AS count
           FROM milestone_persist.agent_registry a
          WHERE ((a.session_id = s.session_id) AND (a.status = ANY (ARRAY['spawning'::text, 'active'::text])))) AS active_agents,
    ( SELECT count(*) AS count
           FROM milestone_persist.agent_registry a
          WHERE ((a.session_id = s.session_id) AND (a.status = 'failed'::text))) AS failed_agents
   FROM milestone_persist.coordination_sessions s
  WHERE ((s.status = 'active'::text) AND (s.last_activity < milestone_persist.utc_now('-00:05:00'::interval)));
CREATE TABLE milestone_persist.store_moves (
    moved_to text NOT NULL COLLATE pg_catalog."C",
    move text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    noted_at text DEFAULT milestone_persist.utc_now() NOT NULL COLLATE pg_catalog."C"
);
INSERT INTO milestone_persist.agent_checkpoints (checkpoint_id, agent_id, session_id, checkpoint_type, state_snapshot, file_references, created_at, retention_until) VALUES ('cp-20260101000146000-8330e0ef', 'a', 'planning-1', 'manual', '{"agent":{"agent_id":"a","agent_type":"validation","milestone_id":"ms-1","session_id":"planning-1","status":"active","capabilities":"[\"run\",\"it''s \\\"text\\\"\\n\\twith $(nothing) \\\\ in it, é, 日本 and 👩💻\"]","current_task":null,"current_phase":null,"resource_usage":"{}","spawn_time":"2026-01-01 00:00:22.000","last_heartbeat":"2026-01-01 00:01:45.000","completion_time":null,"error_info":null,"removed_version":0,"life":1,"client_session":null},"state":[{"state_key":"json","state_value":"{\"n\": 2}","state_type":"progress","version":2,"is_json":1,"saved_in":"planning-1","created_at":"2026-01-01 00:00:43.000","updated_at":"2026-01-01 00:00:46.000","expires_at":null},{"state_key":"text","state_value":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻","state_type":"user_data","version":1,"is_json":0,"saved_in":"planning-1","created_at":"2026-01-01 00:00:40.000","updated_at":"2026-01-01 00:00:40.000","expires_at":null}],"messages":[]}', '[]', '2026-01-01 00:01:46.000', '2026-01-08 00:01:47.000');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('heartbeat_interval', '30', 'seconds between heartbeats an agent should keep to', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('interrupted_after', '300', 'seconds without activity after which an active session counts as interrupted', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('session_timeout', '1800', 'seconds without heartbeat after which an agent is stale', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('checkpoint_interval', '300', 'seconds after which an agent at work should make a checkpoint; nothing makes one by itself', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('health_check_interval', '60', 'seconds of silence after which an agent that reports its health is noted as unresponsive', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('cleanup_retention_days', '7', 'days that ended sessions, checkpoints and logs are kept', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('strict_agents', 'false', 'refuse agents and agent types that are not known', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('planning_artifacts', 'planning-scope planning-estimates planning-risks planning-kiro milestone-plan', 'state keys a planning session is expected to save', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('agent_spawn_command', '', 'command run for each agent that recovery wants started; empty: only print it', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('synchronous', 'full', 'full: every commit survives a power cut; normal: faster', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('hybrid_from', '25', 'number of milestones from which the hybrid backend is used', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('database_from', '100', 'number of milestones from which the database backend is used', '2026-11-27 19:17:00.286');
INSERT INTO milestone_persist.agent_coordination_config (key, value, description, updated_at) VALUES ('message_retry_limit', '1', 'how often a message goes back to the inbox before it is a dead letter', '2026-01-01 00:01:19.000');
INSERT INTO milestone_persist.agent_health_log (id, agent_id, health_status, cpu_usage, memory_usage, response_time, error_count, warning_count, "timestamp") VALUES (1, 'a', 'healthy', NULL, NULL, NULL, 0, 0, '2026-01-01 00:01:00.000');
INSERT INTO milestone_persist.agent_messages (id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, processed_at, acknowledged_at, retry_count, dead_lettered_at, taken_in_life, lease_until, sent_for) VALUES (1, 'planning-1', 'a', 'b', 'task_assignment', '{"n":1,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}', 1, '2026-01-01 00:01:02.000', NULL, NULL, NULL, 0, NULL, NULL, NULL, 'ms-1');
INSERT INTO milestone_persist.agent_messages (id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, processed_at, acknowledged_at, retry_count, dead_lettered_at, taken_in_life, lease_until, sent_for) VALUES (2, 'planning-1', 'a', 'b', 'task_assignment', '{"n":2,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}', 2, '2026-01-01 00:01:04.000', NULL, NULL, NULL, 0, NULL, NULL, NULL, 'ms-1');
INSERT INTO milestone_persist.agent_messages (id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, processed_at, acknowledged_at, retry_count, dead_lettered_at, taken_in_life, lease_until, sent_for) VALUES (3, 'planning-1', 'a', 'b', 'task_assignment', '{"n":3,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}', 3, '2026-01-01 00:01:06.000', NULL, NULL, NULL, 0, NULL, NULL, NULL, 'ms-1');
INSERT INTO milestone_persist.agent_messages (id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, processed_at, acknowledged_at, retry_count, dead_lettered_at, taken_in_life, lease_until, sent_for) VALUES (4, 'planning-1', 'a', 'b', 'task_assignment', '{"n":4,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}', 4, '2026-01-01 00:01:08.000', '2026-01-01 00:01:14.000', NULL, NULL, 0, NULL, 1, NULL, 'ms-1');
INSERT INTO milestone_persist.agent_messages (id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, processed_at, acknowledged_at, retry_count, dead_lettered_at, taken_in_life, lease_until, sent_for) VALUES (5, 'planning-1', 'a', 'b', 'task_assignment', '{"n":5,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}', 5, '2026-01-01 00:01:10.000', '2026-01-01 00:01:14.000', '2026-01-01 00:01:15.000', '2026-01-01 00:01:15.000', 0, NULL, 1, NULL, 'ms-1');
INSERT INTO milestone_persist.agent_messages (id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, processed_at, acknowledged_at, retry_count, dead_lettered_at, taken_in_life, lease_until, sent_for) VALUES (6, 'planning-1', 'b', 'c', 'x-note', '{}', 5, '2026-01-01 00:01:18.000', '2026-01-01 00:01:38.000', NULL, NULL, 1, '2026-01-01 00:01:41.000', 1, NULL, 'ms-1');
INSERT INTO milestone_persist.agent_messages (id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, delivered_at, processed_at, acknowledged_at, retry_count, dead_lettered_at, taken_in_life, lease_until, sent_for) VALUES (7, 'planning-1', 'b', 'nobody', 'error_report', '{"why":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}', 5, '2026-01-01 00:01:44.000', NULL, NULL, NULL, 0, NULL, NULL, NULL, 'ms-1');
INSERT INTO milestone_persist.agent_registry (agent_id, agent_type, milestone_id, session_id, status, capabilities, current_task, current_phase, resource_usage, spawn_time, last_heartbeat, completion_time, error_info, removed_version, life, client_session) VALUES ('coord', 'milestone-coordinator', 'ms-1', 'planning-1', 'active', '["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]', NULL, NULL, '{}', '2026-01-01 00:00:15.000', '2026-01-01 00:00:15.000', NULL, NULL, 0, 1, NULL);
INSERT INTO milestone_persist.agent_registry (agent_id, agent_type, milestone_id, session_id, status, capabilities, current_task, current_phase, resource_usage, spawn_time, last_heartbeat, completion_time, error_info, removed_version, life, client_session) VALUES ('c', 'x-own', 'ms-1', 'execution-1', 'failed', '["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]', NULL, NULL, '{}', '2026-01-01 00:00:37.000', '2026-01-01 00:01:35.000', '2026-01-01 00:01:39.000', NULL, 0, 1, NULL);
INSERT INTO milestone_persist.agent_registry (agent_id, agent_type, milestone_id, session_id, status, capabilities, current_task, current_phase, resource_usage, spawn_time, last_heartbeat, completion_time, error_info, removed_version, life, client_session) VALUES ('b', 'validation', 'ms-1', 'planning-1', 'active', '["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]', NULL, NULL, '{}', '2026-01-01 00:00:29.000', '2026-01-01 00:01:43.000', NULL, NULL, 1, 1, NULL);
INSERT INTO milestone_persist.agent_registry (agent_id, agent_type, milestone_id, session_id, status, capabilities, current_task, current_phase, resource_usage, spawn_time, last_heartbeat, completion_time, error_info, removed_version, life, client_session) VALUES ('a', 'validation', 'ms-1', 'planning-1', 'active', '["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]', NULL, NULL, '{}', '2026-01-01 00:00:22.000', '2026-01-01 00:01:45.000', NULL, NULL, 0, 1, NULL);
INSERT INTO milestone_persist.agent_state (agent_id, state_key, state_value, state_type, created_at, updated_at, expires_at, version, is_json, saved_in) VALUES ('a', 'text', 'it''s "text"
	with $(nothing) \ in it, é, 日本 and 👩💻', 'user_data', '2026-01-01 00:00:40.000', '2026-01-01 00:00:40.000', NULL, 1, 0, 'planning-1');
INSERT INTO milestone_persist.agent_state (agent_id, state_key, state_value, state_type, created_at, updated_at, expires_at, version, is_json, saved_in) VALUES ('a', 'json', '{"n": 2}', 'progress', '2026-01-01 00:00:43.000', '2026-01-01 00:00:46.000', NULL, 2, 1, 'planning-1');
INSERT INTO milestone_persist.agent_state (agent_id, state_key, state_value, state_type, created_at, updated_at, expires_at, version, is_json, saved_in) VALUES ('b', 'for a while', 'v', 'temp_data', '2026-01-01 00:00:49.000', '2026-01-01 00:00:49.000', '2057-09-09 01:47:30.000', 1, 0, 'planning-1');
INSERT INTO milestone_persist.coordination_sessions (session_id, milestone_id, operation_type, phase, coordinator_id, agent_count, progress, status, configuration, created_at, last_activity, completed_at) VALUES ('execution-1', 'ms-1', 'execution', NULL, NULL, 1, 0, 'active', '{}', '2026-01-01 00:00:34.000', '2026-01-01 00:01:35.000', NULL);
INSERT INTO milestone_persist.coordination_sessions (session_id, milestone_id, operation_type, phase, coordinator_id, agent_count, progress, status, configuration, created_at, last_activity, completed_at) VALUES ('planning-1', 'ms-1', 'planning', 'design', 'coord', 3, 40, 'active', '{}', '2026-01-01 00:00:12.000', '2026-01-01 00:01:50.000', NULL);
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (1, '2026-01-01 00:00:03.000', 'milestone_created', NULL, NULL, 'ms-1', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (2, '2026-01-01 00:00:06.000', 'milestone_created', NULL, NULL, 'ms-2', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (3, '2026-01-01 00:00:13.000', 'session_created', 'planning-1', NULL, 'ms-1', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (4, '2026-01-01 00:00:16.000', 'agent_registered', 'planning-1', 'coord', 'ms-1', NULL, 'milestone-coordinator');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (5, '2026-01-01 00:00:23.000', 'agent_registered', 'planning-1', 'a', 'ms-1', NULL, 'validation');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (6, '2026-01-01 00:00:30.000', 'agent_registered', 'planning-1', 'b', 'ms-1', NULL, 'validation');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (7, '2026-01-01 00:00:35.000', 'session_created', 'execution-1', NULL, 'ms-1', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (8, '2026-01-01 00:00:38.000', 'agent_registered', 'execution-1', 'c', 'ms-1', NULL, 'x-own');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (9, '2026-01-01 00:01:20.000', 'setting_changed', NULL, NULL, NULL, NULL, 'message_retry_limit=1');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (10, '2026-01-01 00:01:23.000', 'agent_active', 'execution-1', 'c', 'ms-1', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (11, '2026-01-01 00:01:29.000', 'agent_failed', 'execution-1', 'c', 'ms-1', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (12, '2026-01-01 00:01:31.000', 'messages_returned', 'planning-1', 'c', NULL, NULL, '6');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (13, '2026-01-01 00:01:34.000', 'agent_active', 'execution-1', 'c', 'ms-1', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (14, '2026-01-01 00:01:40.000', 'agent_failed', 'execution-1', 'c', 'ms-1', NULL, '');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (15, '2026-01-01 00:01:42.000', 'message_dead_lettered', 'planning-1', 'c', NULL, NULL, '6');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (16, '2026-01-01 00:01:48.000', 'checkpoint_created', 'planning-1', 'a', 'ms-1', NULL, 'cp-20260101000146000-8330e0ef');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (17, '2026-01-01 00:01:49.000', 'session_progress', 'planning-1', NULL, 'ms-1', NULL, '40 % design');
INSERT INTO milestone_persist.events (id, "timestamp", event, session_id, agent_id, milestone_id, backend, detail) VALUES (18, '2026-01-01 00:01:52.000', 'noted', NULL, NULL, 'ms-1', NULL, 'it''s "text"
	with $(nothing) \ in it, é, 日本 and 👩💻');
INSERT INTO milestone_persist.idempotency_keys (caller, operation, key, content_digest, result, created_at) VALUES ('a', 'send_agent_message', 'k', 'd', '{"id": 1}', '2026-11-27 19:17:00.520');
INSERT INTO milestone_persist.milestone_locks (milestone_id, owner, acquired_at, expires_at) VALUES ('ms-1', 'a', '2026-01-01 00:00:07.000', '2026-01-01 00:05:08.000');
INSERT INTO milestone_persist.milestones (id, title, status, priority, data, created_at, updated_at, file_path, file_stamp, archived_at, version) VALUES ('ms-1', 'One', 'active', 'medium', 'title: One
status: active
note: |
  ''it\''s "text"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻''
', '2026-01-01 00:00:01.000', '2026-01-01 00:00:02.000', NULL, NULL, NULL, 1);
INSERT INTO milestone_persist.milestones (id, title, status, priority, data, created_at, updated_at, file_path, file_stamp, archived_at, version) VALUES ('ms-2', 'Two', 'planned', 'medium', 'title: Two
status: planned
', '2026-01-01 00:00:04.000', '2026-01-01 00:00:05.000', NULL, NULL, NULL, 1);
INSERT INTO milestone_persist.schema_version (version, applied_at) VALUES (2, '2026-11-27 19:17:00.286');
SELECT pg_catalog.setval('milestone_persist.agent_health_log_id_seq', 1, true);
SELECT pg_catalog.setval('milestone_persist.agent_messages_id_seq', 7, true);
SELECT pg_catalog.setval('milestone_persist.events_id_seq', 18, true);
ALTER TABLE ONLY milestone_persist.agent_checkpoints
    ADD CONSTRAINT agent_checkpoints_pkey PRIMARY KEY (checkpoint_id);
ALTER TABLE ONLY milestone_persist.agent_coordination_config
    ADD CONSTRAINT agent_coordination_config_pkey PRIMARY KEY (key);
ALTER TABLE ONLY milestone_persist.agent_health_log
    ADD CONSTRAINT agent_health_log_pkey PRIMARY KEY (id);
ALTER TABLE ONLY milestone_persist.agent_messages
    ADD CONSTRAINT agent_messages_pkey PRIMARY KEY (id);
ALTER TABLE ONLY milestone_persist.agent_registry
    ADD CONSTRAINT agent_registry_pkey PRIMARY KEY (agent_id);
ALTER TABLE ONLY milestone_persist.agent_state
    ADD CONSTRAINT agent_state_pkey PRIMARY KEY (agent_id, state_key);
ALTER TABLE ONLY milestone_persist.coordination_sessions
    ADD CONSTRAINT coordination_sessions_pkey PRIMARY KEY (session_id);
ALTER TABLE ONLY milestone_persist.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY milestone_persist.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (caller, operation, key);
ALTER TABLE ONLY milestone_persist.milestone_locks
    ADD CONSTRAINT milestone_locks_pkey PRIMARY KEY (milestone_id);
ALTER TABLE ONLY milestone_persist.milestones
    ADD CONSTRAINT milestones_pkey PRIMARY KEY (id);
ALTER TABLE ONLY milestone_persist.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
ALTER TABLE ONLY milestone_persist.store_moves
    ADD CONSTRAINT store_moves_pkey PRIMARY KEY (moved_to);
CREATE INDEX agent_checkpoints_by_agent ON milestone_persist.agent_checkpoints USING btree (agent_id, created_at);
CREATE INDEX agent_checkpoints_by_session ON milestone_persist.agent_checkpoints USING btree (session_id);
CREATE INDEX agent_checkpoints_expiring ON milestone_persist.agent_checkpoints USING btree (retention_until) WHERE (retention_until IS NOT NULL);
CREATE INDEX agent_health_log_by_agent ON milestone_persist.agent_health_log USING btree (agent_id, "timestamp");
CREATE INDEX agent_health_log_by_time ON milestone_persist.agent_health_log USING btree ("timestamp");
CREATE INDEX agent_messages_by_session ON milestone_persist.agent_messages USING btree (session_id);
CREATE INDEX agent_messages_dead ON milestone_persist.agent_messages USING btree (session_id, dead_lettered_at) WHERE (dead_lettered_at IS NOT NULL);
CREATE INDEX agent_messages_pending ON milestone_persist.agent_messages USING btree (to_agent, priority DESC, id) WHERE ((delivered_at IS NULL) AND (dead_lettered_at IS NULL));
CREATE INDEX agent_messages_taken ON milestone_persist.agent_messages USING btree (to_agent) WHERE ((delivered_at IS NOT NULL) AND (acknowledged_at IS NULL) AND (dead_lettered_at IS NULL));
CREATE INDEX agent_registry_alive ON milestone_persist.agent_registry USING btree (last_heartbeat) WHERE (status = ANY (ARRAY['spawning'::text, 'active'::text]));
CREATE INDEX agent_registry_by_milestone ON milestone_persist.agent_registry USING btree (milestone_id);
CREATE INDEX agent_registry_by_session ON milestone_persist.agent_registry USING btree (session_id);
CREATE INDEX agent_state_by_key ON milestone_persist.agent_state USING btree (state_key);
CREATE INDEX agent_state_by_session ON milestone_persist.agent_state USING btree (saved_in);
CREATE INDEX agent_state_expiring ON milestone_persist.agent_state USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX coordination_sessions_by_milestone ON milestone_persist.coordination_sessions USING btree (milestone_id);
CREATE INDEX coordination_sessions_by_status ON milestone_persist.coordination_sessions USING btree (status, last_activity);
CREATE INDEX events_by_milestone ON milestone_persist.events USING btree (milestone_id, id) WHERE (milestone_id IS NOT NULL);
CREATE INDEX events_by_session ON milestone_persist.events USING btree (session_id, id) WHERE (session_id IS NOT NULL);
CREATE INDEX events_by_time ON milestone_persist.events USING btree ("timestamp");
CREATE INDEX idempotency_keys_by_time ON milestone_persist.idempotency_keys USING btree (created_at);
CREATE INDEX milestones_by_status ON milestone_persist.milestones USING btree (status);
CREATE TRIGGER cleanup_expired_state AFTER INSERT ON milestone_persist.agent_state FOR EACH ROW EXECUTE FUNCTION milestone_persist.cleanup_expired_state();
CREATE TRIGGER cleanup_old_checkpoints AFTER INSERT ON milestone_persist.agent_checkpoints FOR EACH ROW EXECUTE FUNCTION milestone_persist.cleanup_old_checkpoints();
CREATE TRIGGER keep_removed_version AFTER DELETE ON milestone_persist.agent_state FOR EACH ROW EXECUTE FUNCTION milestone_persist.keep_removed_version();
CREATE TRIGGER name_session_of_state BEFORE INSERT ON milestone_persist.agent_state FOR EACH ROW WHEN ((new.saved_in IS NULL)) EXECUTE FUNCTION milestone_persist.name_session_of_state();
CREATE CONSTRAINT TRIGGER update_session_activity AFTER UPDATE OF last_heartbeat ON milestone_persist.agent_registry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.last_heartbeat > old.last_heartbeat)) EXECUTE FUNCTION milestone_persist.update_session_activity();
ALTER TABLE ONLY milestone_persist.agent_checkpoints
    ADD CONSTRAINT agent_checkpoints_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES milestone_persist.agent_registry(agent_id) ON DELETE CASCADE;
ALTER TABLE ONLY milestone_persist.agent_checkpoints
    ADD CONSTRAINT agent_checkpoints_session_id_fkey FOREIGN KEY (session_id) REFERENCES milestone_persist.coordination_sessions(session_id) ON DELETE CASCADE;
ALTER TABLE ONLY milestone_persist.agent_health_log
    ADD CONSTRAINT agent_health_log_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES milestone_persist.agent_registry(agent_id) ON DELETE CASCADE;
ALTER TABLE ONLY milestone_persist.agent_messages
    ADD CONSTRAINT agent_messages_session_id_fkey FOREIGN KEY (session_id) REFERENCES milestone_persist.coordination_sessions(session_id) ON DELETE CASCADE;
ALTER TABLE ONLY milestone_persist.agent_registry
    ADD CONSTRAINT agent_registry_milestone_id_fkey FOREIGN KEY (milestone_id) REFERENCES milestone_persist.milestones(id);
ALTER TABLE ONLY milestone_persist.agent_registry
    ADD CONSTRAINT agent_registry_session_id_fkey FOREIGN KEY (session_id) REFERENCES milestone_persist.coordination_sessions(session_id) ON DELETE CASCADE;
ALTER TABLE ONLY milestone_persist.agent_state
    ADD CONSTRAINT agent_state_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES milestone_persist.agent_registry(agent_id) ON DELETE CASCADE;
ALTER TABLE ONLY milestone_persist.coordination_sessions
    ADD CONSTRAINT coordination_sessions_milestone_id_fkey FOREIGN KEY (milestone_id) REFERENCES milestone_persist.milestones(id);
