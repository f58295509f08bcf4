PRAGMA application_id = 1297305677;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE agent_checkpoints (
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
INSERT INTO "agent_checkpoints" VALUES('cp-20260101000146000-9835db36','a','planning-1','manual','{"agent":{"agent_id":"a","agent_type":"validation","milestone_id":"ms-1","session_id":"planning-1","status":"active","capabilities":"[\"run\",\"it''s \\\"text\\\"\\n\\twith $(nothing) \\\\ in it, é, 日本 and 👩💻\"]","current_task":null,"current_phase":null,"resource_usage":"{}","spawn_time":"2026-01-01 00:00:22.000","last_heartbeat":"2026-01-01 00:01:45.000","completion_time":null,"error_info":null,"removed_version":0,"life":1,"client_session":null},"state":[{"state_key":"json","state_value":"{\"n\": 2}","state_type":"progress","version":2,"is_json":1,"saved_in":"planning-1","created_at":"2026-01-01 00:00:43.000","updated_at":"2026-01-01 00:00:46.000","expires_at":null},{"state_key":"text","state_value":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻","state_type":"user_data","version":1,"is_json":0,"saved_in":"planning-1","created_at":"2026-01-01 00:00:40.000","updated_at":"2026-01-01 00:00:40.000","expires_at":null}],"messages":[]}','[]','2026-01-01 00:01:46.000','2026-01-08 00:01:47.000');
CREATE TABLE agent_coordination_config (
  key         TEXT PRIMARY KEY NOT NULL CHECK (key <> ''),
  value       TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
INSERT INTO "agent_coordination_config" VALUES('heartbeat_interval','30','seconds between heartbeats an agent should keep to','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('message_retry_limit','1','how often a message goes back to the inbox before it is a dead letter','2026-01-01 00:01:19.000');
INSERT INTO "agent_coordination_config" VALUES('interrupted_after','300','seconds without activity after which an active session counts as interrupted','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('session_timeout','1800','seconds without heartbeat after which an agent is stale','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('checkpoint_interval','300','seconds after which an agent at work should make a checkpoint; nothing makes one by itself','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('health_check_interval','60','seconds of silence after which an agent that reports its health is noted as unresponsive','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('cleanup_retention_days','7','days that ended sessions, checkpoints and logs are kept','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('strict_agents','false','refuse agents and agent types that are not known','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('planning_artifacts','planning-scope planning-estimates planning-risks planning-kiro milestone-plan','state keys a planning session is expected to save','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('agent_spawn_command','','command run for each agent that recovery wants started; empty: only print it','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('synchronous','full','full: every commit survives a power cut; normal: faster','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('hybrid_from','25','number of milestones from which the hybrid backend is used','2026-11-27 19:16:56.622');
INSERT INTO "agent_coordination_config" VALUES('database_from','100','number of milestones from which the database backend is used','2026-11-27 19:16:56.622');
CREATE TABLE agent_health_log (
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
INSERT INTO "agent_health_log" VALUES(1,'a','healthy',NULL,NULL,NULL,0,0,'2026-01-01 00:01:00.000');
CREATE TABLE agent_messages (
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
  CHECK (acknowledged_at IS NULL OR delivered_at IS NOT NULL)
);
INSERT INTO "agent_messages" VALUES(1,'planning-1','a','b','task_assignment','{"n":1,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}',1,'2026-01-01 00:01:02.000',NULL,NULL,NULL,0,NULL,NULL,NULL,'ms-1');
INSERT INTO "agent_messages" VALUES(2,'planning-1','a','b','task_assignment','{"n":2,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}',2,'2026-01-01 00:01:04.000',NULL,NULL,NULL,0,NULL,NULL,NULL,'ms-1');
INSERT INTO "agent_messages" VALUES(3,'planning-1','a','b','task_assignment','{"n":3,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}',3,'2026-01-01 00:01:06.000',NULL,NULL,NULL,0,NULL,NULL,NULL,'ms-1');
INSERT INTO "agent_messages" VALUES(4,'planning-1','a','b','task_assignment','{"n":4,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}',4,'2026-01-01 00:01:08.000','2026-01-01 00:01:14.000',NULL,NULL,0,NULL,1,NULL,'ms-1');
INSERT INTO "agent_messages" VALUES(5,'planning-1','a','b','task_assignment','{"n":5,"text":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}',5,'2026-01-01 00:01:10.000','2026-01-01 00:01:14.000','2026-01-01 00:01:15.000','2026-01-01 00:01:15.000',0,NULL,1,NULL,'ms-1');
INSERT INTO "agent_messages" VALUES(6,'planning-1','b','c','x-note','{}',5,'2026-01-01 00:01:18.000','2026-01-01 00:01:38.000',NULL,NULL,1,'2026-01-01 00:01:41.000',1,NULL,'ms-1');
INSERT INTO "agent_messages" VALUES(7,'planning-1','b','nobody','error_report','{"why":"it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"}',5,'2026-01-01 00:01:44.000',NULL,NULL,NULL,0,NULL,NULL,NULL,'ms-1');
CREATE TABLE agent_registry (
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
  client_session  TEXT                          -- its client's session or thread, if that is known
);
INSERT INTO "agent_registry" VALUES('coord','milestone-coordinator','ms-1','planning-1','active','["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]',NULL,NULL,'{}','2026-01-01 00:00:15.000','2026-01-01 00:00:15.000',NULL,NULL,0,1,NULL);
INSERT INTO "agent_registry" VALUES('a','validation','ms-1','planning-1','active','["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]',NULL,NULL,'{}','2026-01-01 00:00:22.000','2026-01-01 00:01:45.000',NULL,NULL,0,1,NULL);
INSERT INTO "agent_registry" VALUES('b','validation','ms-1','planning-1','active','["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]',NULL,NULL,'{}','2026-01-01 00:00:29.000','2026-01-01 00:01:43.000',NULL,NULL,1,1,NULL);
INSERT INTO "agent_registry" VALUES('c','x-own','ms-1','execution-1','failed','["run","it''s \"text\"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻"]',NULL,NULL,'{}','2026-01-01 00:00:37.000','2026-01-01 00:01:35.000','2026-01-01 00:01:39.000',NULL,0,1,NULL);
CREATE TABLE agent_state (
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
INSERT INTO "agent_state" VALUES('a','text','it''s "text"
	with $(nothing) \ in it, é, 日本 and 👩💻','user_data','2026-01-01 00:00:40.000','2026-01-01 00:00:40.000',NULL,1,0,'planning-1');
INSERT INTO "agent_state" VALUES('a','json','{"n": 2}','progress','2026-01-01 00:00:43.000','2026-01-01 00:00:46.000',NULL,2,1,'planning-1');
INSERT INTO "agent_state" VALUES('b','for a while','v','temp_data','2026-01-01 00:00:49.000','2026-01-01 00:00:49.000','2057-09-09 01:47:30.000',1,0,'planning-1');
CREATE TABLE coordination_sessions (
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
INSERT INTO "coordination_sessions" VALUES('planning-1','ms-1','planning','design','coord',3,40,'active','{}','2026-01-01 00:00:12.000','2026-01-01 00:01:50.000',NULL);
INSERT INTO "coordination_sessions" VALUES('execution-1','ms-1','execution',NULL,NULL,1,0,'active','{}','2026-01-01 00:00:34.000','2026-01-01 00:01:35.000',NULL);
CREATE TABLE events (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  event        TEXT NOT NULL CHECK (event <> ''),
  session_id   TEXT,
  agent_id     TEXT,
  milestone_id TEXT,
  backend      TEXT,
  detail       TEXT NOT NULL DEFAULT ''
);
INSERT INTO "events" VALUES(1,'2026-01-01 00:00:03.000','milestone_created',NULL,NULL,'ms-1',NULL,'');
INSERT INTO "events" VALUES(2,'2026-01-01 00:00:06.000','milestone_created',NULL,NULL,'ms-2',NULL,'');
INSERT INTO "events" VALUES(3,'2026-01-01 00:00:13.000','session_created','planning-1',NULL,'ms-1',NULL,'');
INSERT INTO "events" VALUES(4,'2026-01-01 00:00:16.000','agent_registered','planning-1','coord','ms-1',NULL,'milestone-coordinator');
INSERT INTO "events" VALUES(5,'2026-01-01 00:00:23.000','agent_registered','planning-1','a','ms-1',NULL,'validation');
INSERT INTO "events" VALUES(6,'2026-01-01 00:00:30.000','agent_registered','planning-1','b','ms-1',NULL,'validation');
INSERT INTO "events" VALUES(7,'2026-01-01 00:00:35.000','session_created','execution-1',NULL,'ms-1',NULL,'');
INSERT INTO "events" VALUES(8,'2026-01-01 00:00:38.000','agent_registered','execution-1','c','ms-1',NULL,'x-own');
INSERT INTO "events" VALUES(9,'2026-01-01 00:01:20.000','setting_changed',NULL,NULL,NULL,NULL,'message_retry_limit=1');
INSERT INTO "events" VALUES(10,'2026-01-01 00:01:23.000','agent_active','execution-1','c','ms-1',NULL,'');
INSERT INTO "events" VALUES(11,'2026-01-01 00:01:29.000','agent_failed','execution-1','c','ms-1',NULL,'');
INSERT INTO "events" VALUES(12,'2026-01-01 00:01:31.000','messages_returned','planning-1','c',NULL,NULL,'6');
INSERT INTO "events" VALUES(13,'2026-01-01 00:01:34.000','agent_active','execution-1','c','ms-1',NULL,'');
INSERT INTO "events" VALUES(14,'2026-01-01 00:01:40.000','agent_failed','execution-1','c','ms-1',NULL,'');
INSERT INTO "events" VALUES(15,'2026-01-01 00:01:42.000','message_dead_lettered','planning-1','c',NULL,NULL,'6');
INSERT INTO "events" VALUES(16,'2026-01-01 00:01:48.000','checkpoint_created','planning-1','a','ms-1',NULL,'cp-20260101000146000-9835db36');
INSERT INTO "events" VALUES(17,'2026-01-01 00:01:49.000','session_progress','planning-1',NULL,'ms-1',NULL,'40 % design');
INSERT INTO "events" VALUES(18,'2026-01-01 00:01:52.000','noted',NULL,NULL,'ms-1',NULL,'it''s "text"
	with $(nothing) \ in it, é, 日本 and 👩💻');
CREATE TABLE idempotency_keys (
  caller         TEXT NOT NULL,
  operation      TEXT NOT NULL,
  key            TEXT NOT NULL,
  content_digest TEXT NOT NULL,                 -- of what was asked for
  result         TEXT NOT NULL CHECK (json_valid(result)),
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY (caller, operation, key)
);
INSERT INTO "idempotency_keys" VALUES('a','send_agent_message','k','d','{"id": 1}','2026-11-27 19:16:57.471');
CREATE TABLE milestone_locks (
  milestone_id TEXT PRIMARY KEY NOT NULL CHECK (milestone_id <> ''),
  owner        TEXT NOT NULL CHECK (owner <> ''),
  acquired_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  expires_at   TEXT NOT NULL
);
INSERT INTO "milestone_locks" VALUES('ms-1','a','2026-01-01 00:00:07.000','2026-01-01 00:05:08.000');
CREATE TABLE milestones (
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
INSERT INTO "milestones" VALUES('ms-1','One','active','medium','title: One
status: active
note: |
  ''it\''s "text"\n\twith $(nothing) \\ in it, é, 日本 and 👩💻''
','2026-01-01 00:00:01.000','2026-01-01 00:00:02.000',NULL,NULL,NULL,1);
INSERT INTO "milestones" VALUES('ms-2','Two','planned','medium','title: Two
status: planned
','2026-01-01 00:00:04.000','2026-01-01 00:00:05.000',NULL,NULL,NULL,1);
CREATE TABLE store_moves (
  moved_to TEXT PRIMARY KEY NOT NULL,           -- ENGINE DIRECTORY; after 'from ', of an unfinished copy
  move     TEXT NOT NULL DEFAULT '',            -- which move it was
  noted_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX milestones_by_status ON milestones (status);
CREATE INDEX coordination_sessions_by_status ON coordination_sessions (status, last_activity);
CREATE INDEX coordination_sessions_by_milestone ON coordination_sessions (milestone_id);
CREATE INDEX agent_registry_by_session ON agent_registry (session_id);
CREATE INDEX agent_registry_by_milestone ON agent_registry (milestone_id);
CREATE INDEX agent_registry_alive ON agent_registry (last_heartbeat)
  WHERE status IN ('spawning', 'active');
CREATE INDEX agent_messages_pending ON agent_messages (to_agent, priority DESC, id)
  WHERE delivered_at IS NULL AND dead_lettered_at IS NULL;
CREATE INDEX agent_messages_taken ON agent_messages (to_agent)
  WHERE delivered_at IS NOT NULL AND acknowledged_at IS NULL AND dead_lettered_at IS NULL;
CREATE INDEX agent_messages_dead ON agent_messages (session_id, dead_lettered_at)
  WHERE dead_lettered_at IS NOT NULL;
CREATE INDEX agent_messages_by_session ON agent_messages (session_id);
CREATE INDEX agent_state_expiring ON agent_state (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX agent_state_by_key ON agent_state (state_key);
CREATE INDEX agent_state_by_session ON agent_state (saved_in);
CREATE INDEX agent_checkpoints_by_agent ON agent_checkpoints (agent_id, created_at);
CREATE INDEX agent_checkpoints_by_session ON agent_checkpoints (session_id);
CREATE INDEX agent_checkpoints_expiring ON agent_checkpoints (retention_until)
  WHERE retention_until IS NOT NULL;
CREATE INDEX agent_health_log_by_agent ON agent_health_log (agent_id, timestamp);
CREATE INDEX agent_health_log_by_time ON agent_health_log (timestamp);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
CREATE INDEX events_by_session ON events (session_id, id) WHERE session_id IS NOT NULL;
CREATE INDEX events_by_milestone ON events (milestone_id, id) WHERE milestone_id IS NOT NULL;
CREATE INDEX events_by_time ON events (timestamp);
CREATE VIEW active_agents AS
  SELECT a.agent_id, a.agent_type, a.milestone_id, a.session_id, a.status, a.current_task, a.current_phase,
         a.last_heartbeat, (julianday('now') - julianday(a.last_heartbeat)) * 1440 AS minutes_since_heartbeat,
         s.operation_type, s.phase, s.progress, a.spawn_time
  FROM agent_registry a JOIN coordination_sessions s ON s.session_id = a.session_id
  WHERE a.status IN ('spawning', 'active');
CREATE VIEW agent_message_queue AS
  SELECT id, session_id, from_agent, to_agent, message_type, payload, priority, created_at, retry_count,
         (julianday('now') - julianday(created_at)) * 1440 AS minutes_waiting,
         (julianday('now') - julianday(created_at)) * 1440 AS age_minutes
  FROM agent_messages
  WHERE delivered_at IS NULL AND dead_lettered_at IS NULL
  ORDER BY priority DESC, id;
CREATE VIEW stale_sessions AS
  SELECT s.session_id, s.milestone_id, s.operation_type, s.phase, s.progress, s.last_activity,
         (julianday('now') - julianday(s.last_activity)) * 1440 AS minutes_inactive, s.agent_count,
         (SELECT count(*) FROM agent_registry a
          WHERE a.session_id = s.session_id AND a.status IN ('spawning', 'active')) AS active_agents,
         (SELECT count(*) FROM agent_registry a
          WHERE a.session_id = s.session_id AND a.status = 'failed') AS failed_agents
  FROM coordination_sessions s
  WHERE s.status = 'active' AND s.last_activity < strftime('%Y-%m-%d %H:%M:%f', 'now', '-5 minutes');
CREATE TRIGGER update_session_activity AFTER UPDATE OF last_heartbeat ON agent_registry
WHEN NEW.last_heartbeat > OLD.last_heartbeat
BEGIN
  UPDATE coordination_sessions SET last_activity = NEW.last_heartbeat
  WHERE session_id = NEW.session_id AND last_activity < NEW.last_heartbeat;
END;
CREATE TRIGGER cleanup_expired_state AFTER INSERT ON agent_state
BEGIN
  DELETE FROM agent_state WHERE expires_at <= NEW.updated_at;
END;
CREATE TRIGGER name_session_of_state AFTER INSERT ON agent_state WHEN NEW.saved_in IS NULL
BEGIN
  UPDATE agent_state SET saved_in = (SELECT session_id FROM agent_registry WHERE agent_id = NEW.agent_id)
  WHERE agent_id = NEW.agent_id AND state_key = NEW.state_key;
END;
CREATE TRIGGER keep_removed_version AFTER DELETE ON agent_state
BEGIN
  UPDATE agent_registry SET removed_version = OLD.version
  WHERE agent_id = OLD.agent_id AND removed_version < OLD.version;
END;
CREATE TRIGGER cleanup_old_checkpoints AFTER INSERT ON agent_checkpoints
BEGIN
  DELETE FROM agent_checkpoints WHERE retention_until <= NEW.created_at
    AND EXISTS (SELECT 1 FROM agent_checkpoints newer
                WHERE newer.agent_id = agent_checkpoints.agent_id
                  AND newer.created_at > agent_checkpoints.created_at);
END;
CREATE TRIGGER check_capabilities_insert BEFORE INSERT ON agent_registry
WHEN json_valid(NEW.capabilities)
BEGIN
  SELECT RAISE(ABORT, 'capabilities must be a JSON array of strings')
  FROM json_each(NEW.capabilities) WHERE type <> 'text';
END;
CREATE TRIGGER check_capabilities_update BEFORE UPDATE OF capabilities ON agent_registry
WHEN json_valid(NEW.capabilities)
BEGIN
  SELECT RAISE(ABORT, 'capabilities must be a JSON array of strings')
  FROM json_each(NEW.capabilities) WHERE type <> 'text';
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',18);
INSERT INTO "sqlite_sequence" VALUES('agent_health_log',1);
INSERT INTO "sqlite_sequence" VALUES('agent_messages',7);
COMMIT;
