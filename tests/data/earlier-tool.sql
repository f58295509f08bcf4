-- A coordination.db as the shell tool before this one made it: no version, times without milliseconds, foreign keys to
-- a table that does not exist, tables and views of its own beside; and rows such as shells leave behind.
PRAGMA journal_mode = WAL;
PRAGMA foreign_keys = OFF;

CREATE TABLE coordination_sessions (
  session_id TEXT PRIMARY KEY,
  milestone_id TEXT NOT NULL,
  operation_type TEXT NOT NULL,
  phase TEXT,
  coordinator_id TEXT,
  agent_count INTEGER DEFAULT 0,
  progress REAL DEFAULT 0.0,
  status TEXT DEFAULT 'active',
  configuration TEXT,
  created_at TEXT DEFAULT (datetime('now')),
  last_activity TEXT DEFAULT (datetime('now')),
  completed_at TEXT,
  FOREIGN KEY (milestone_id) REFERENCES milestones(id)
);
CREATE TABLE agent_registry (
  agent_id TEXT PRIMARY KEY,
  agent_type TEXT NOT NULL,
  milestone_id TEXT,
  session_id TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'spawning',
  capabilities TEXT,
  current_task TEXT,
  current_phase TEXT,
  resource_usage TEXT,
  spawn_time TEXT DEFAULT (datetime('now')),
  last_heartbeat TEXT DEFAULT (datetime('now')),
  completion_time TEXT,
  error_info TEXT,
  FOREIGN KEY (milestone_id) REFERENCES milestones(id),
  FOREIGN KEY (session_id) REFERENCES coordination_sessions(session_id)
);
CREATE TABLE agent_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  session_id TEXT,
  from_agent TEXT NOT NULL,
  to_agent TEXT,
  message_type TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER DEFAULT 5,
  created_at TEXT DEFAULT (datetime('now')),
  delivered_at TEXT,
  processed_at TEXT,
  acknowledged_at TEXT,
  retry_count INTEGER DEFAULT 0
);
CREATE TABLE agent_state (
  agent_id TEXT NOT NULL,
  state_key TEXT NOT NULL,
  state_value TEXT NOT NULL,
  state_type TEXT DEFAULT 'user_data',
  created_at TEXT DEFAULT (datetime('now')),
  updated_at TEXT DEFAULT (datetime('now')),
  expires_at TEXT,
  PRIMARY KEY (agent_id, state_key),
  FOREIGN KEY (agent_id) REFERENCES agent_registry(agent_id) ON DELETE CASCADE
);
CREATE TABLE agent_checkpoints (
  checkpoint_id TEXT PRIMARY KEY,
  agent_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  checkpoint_type TEXT NOT NULL,
  state_snapshot TEXT NOT NULL,
  file_references TEXT,
  created_at TEXT DEFAULT (datetime('now')),
  retention_until TEXT,
  FOREIGN KEY (agent_id) REFERENCES agent_registry(agent_id)
);
CREATE TABLE agent_health_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  agent_id TEXT NOT NULL,
  health_status TEXT NOT NULL,
  cpu_usage REAL,
  memory_usage REAL,
  response_time REAL,
  error_count INTEGER DEFAULT 0,
  warning_count INTEGER DEFAULT 0,
  timestamp TEXT DEFAULT (datetime('now'))
);
CREATE TABLE agent_coordination_config (
  key TEXT PRIMARY KEY,
  value TEXT,
  description TEXT,
  updated_at TEXT DEFAULT (datetime('now'))
);
CREATE INDEX idx_agent_registry_session ON agent_registry(session_id);
CREATE INDEX agent_messages_pending ON agent_messages(to_agent, delivered_at);
CREATE VIEW active_agents AS SELECT a.*, m.title FROM agent_registry a LEFT JOIN milestones m ON m.id = a.milestone_id;
CREATE TRIGGER update_session_activity AFTER UPDATE OF last_heartbeat ON agent_registry BEGIN
  UPDATE coordination_sessions SET last_activity = datetime('now') WHERE session_id = NEW.session_id;
END;

-- What is none of ours.
CREATE TABLE milestone_metrics (
  name TEXT NOT NULL,
  milestone_id TEXT REFERENCES milestones(id) ON DELETE CASCADE,
  agent_id TEXT REFERENCES agent_registry(agent_id) ON DELETE CASCADE,
  value REAL
);
CREATE INDEX metrics_by_name ON milestone_metrics(name);
CREATE TABLE audit (message_id INTEGER, note TEXT);
CREATE TABLE events (at TEXT, what TEXT);
CREATE VIEW broken_view AS SELECT * FROM nowhere;
CREATE TRIGGER audit_messages AFTER INSERT ON agent_messages BEGIN
  INSERT INTO audit VALUES (NEW.id, 'sent by ' || NEW.from_agent);
END;
CREATE TRIGGER audit_metrics AFTER INSERT ON milestone_metrics BEGIN INSERT INTO audit VALUES (NULL, NEW.name); END;

INSERT INTO coordination_sessions VALUES
  ('planning-ms-123-1640995200', 'ms-123', 'planning', 'planning', 'coord-1', 4, 40, 'active', NULL,
   '2021-12-31 23:00:00', '2022-01-01 00:10:00', NULL),
  ('execution-ms-123-1', 'ms-123', 'milestone_execution', 'design-phase', NULL, 1, '55%', 'running', 'fast',
   '2022-01-01T01:00:00Z', '2022-01-01T02:00:00+01:00', NULL);
INSERT INTO agent_registry VALUES
  ('coord-1', 'milestone-coordinator', 'ms-123', 'planning-ms-123-1640995200', 'active', '["planning"]', NULL, NULL,
   NULL, '2021-12-31 23:00:00', '2022-01-01 00:10:00', NULL, NULL),
  ('quality-1', 'quality-enforcer', 'ms-124', 'planning-ms-123-1640995200', 'running', 'tests, lint', 'lint', 'review',
   'much', '2021-12-31T23:01:00.5Z', 'yesterday', '', 'none yet'),
  ('lonely-1', 'validation', NULL, 'validation-lost', 'done', '[1, "a"]', NULL, NULL, '{"cpu": 3}',
   '1640995200', '1640995260000', NULL, NULL);
INSERT INTO agent_messages VALUES
  (3, 'planning-ms-123-1640995200', 'coord-1', 'quality-1', 'task_assignment', '{"phase": "design"}', 5,
   '2022-01-01 00:00:00', NULL, NULL, NULL, 0),
  (7, 'planning-ms-123-1640995200', 'coord-1', 'quality-1', 'greeting', 'please hurry', 11,
   '2022-01-01 00:00:01', '2022-01-01 00:00:02', '2022-01-01 00:00:03', NULL, NULL),
  (8, 'planning-gone', 'coord-1', 'quality-1', 'progress-update', '[50]', 'high', '2022-01-01 00:00:04', NULL, NULL,
   NULL, 0),
  (9, NULL, 'coord-1', NULL, 'error_report', '{}', 5, '2022-01-01 00:00:05', NULL, NULL, NULL, 0);
INSERT INTO agent_messages (id, from_agent, message_type, payload) VALUES (50, 'x', 'y', '');
DELETE FROM agent_messages WHERE id = 50;
INSERT INTO agent_state VALUES
  ('coord-1', 'milestone-plan', '{"title": "Login"}', 'user_data', '2022-01-01 00:00:00', '2022-01-01 00:00:09', NULL),
  ('coord-1', 'note', 'it''s "so" $(far)
second line', 'results', '2022-01-01 00:00:00', '2022-01-01 00:00:00', NULL),
  ('coord-1', 'bytes', CAST(X'61FF62' AS TEXT), NULL, NULL, NULL, NULL),
  ('coord-1', 'expired', 'still here', 'temp_data', '2022-01-01 00:00:00', '2022-01-01 00:00:00',
   '2022-01-01 00:01:00'),
  ('scope-agent-001', 'planning-scope', '{"files": 12', 'user_data', '2022-01-01 00:05:00', '2022-01-01 00:06:00', NULL);
INSERT INTO agent_checkpoints VALUES
  ('cp-1', 'coord-1', 'planning-ms-123-1640995200', 'phase', '{"planning-scope": {"files": 12}, "note": "hi"}',
   '["src/main.py"]', '2022-01-01 00:00:00', '2022-01-08 00:00:00'),
  ('cp-2', 'gone-1', 'planning-gone', 'manual', 'no JSON', 'notes.txt', '2022-01-01 00:00:00', NULL);
INSERT INTO agent_health_log VALUES (1, 'coord-1', 'ok', 12.5, 'lots', NULL, NULL, 2, '2022-01-01 00:00:00');
INSERT INTO agent_coordination_config VALUES
  ('message_retry_limit', '7', 'ours', '2022-01-01 00:00:00'), ('own_setting', NULL, NULL, NULL);
INSERT INTO milestone_metrics VALUES ('speed', 'ms-900', 'coord-1', 1.5), ('depth', NULL, 'ghost', 2);
INSERT INTO events VALUES ('2022', 'theirs');
CREATE TRIGGER useless AFTER INSERT ON agent_state BEGIN INSERT INTO gone VALUES (1); END;
