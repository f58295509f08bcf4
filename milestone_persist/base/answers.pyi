"""What operations return that is no whole row of a table; only checkers of types read it."""
from typing import Any, Literal, TypedDict

from .rows import Agent, Event, MilestoneLock

# Set-up and looking

class Description(TypedDict):
    backend: str
    engine: str
    journal_mode: str
    database: str
    exists: bool
    schema_version: int

class Location(TypedDict):
    directory: str
    reason: str

class Where(Location, Description): ...

class Finding(TypedDict):
    severity: str
    where: str
    what: str
    do: str
    fixable: bool

class KnownAgent(TypedDict):
    agent_id: str
    agent_type: str
    status: str
    session_id: str
    milestone_id: str | None

class KnownSession(TypedDict):
    session_id: str
    operation_type: str
    status: str
    milestone_id: str | None

class Caller(Location):
    agent_id: str | None
    agent: KnownAgent | None
    session_id: str | None
    session_from: str | None
    session: KnownSession | None
    milestone_id: str | None
    milestone_from: str | None

class GeneratedFile(TypedDict):
    file: str
    stale: bool

Migration = TypedDict("Migration", {
    "from": str,
    "to": str,
    "rows": dict[str, int],
    "backup": str | None,
    "dry_run": bool,
})

# Agents

class KeyCounts(TypedDict):
    keys_kept: int
    keys_elsewhere: int

class MailForOthers(TypedDict):
    sent_for: str
    number: int

class AgentOf(TypedDict):
    agent_type: str
    milestone_id: str | None

class ActingAgent(AgentOf):
    agent_id: str
    session_id: str
    status: str
    last_heartbeat: str
    life: int  # and milestone_id: where it was asked for

class Registration(Agent, KeyCounts):
    messages_for_others: list[MailForOthers]
    again: bool
    messages_requeued: int
    messages_unread: int
    at_least: list[str]  # messages_unread, where there are more

class AgentStatus(Agent, total=False):
    changed: bool

class SessionAgent(TypedDict):
    agent_id: str
    agent_type: str
    status: str
    current_task: str | None
    current_phase: str | None
    capabilities: str
    spawn_time: str
    last_heartbeat: str
    completion_time: str | None
    error_info: str | None
    minutes_since_heartbeat: float

class SurveyedAgent(TypedDict):
    agent_id: str
    agent_type: str
    milestone_id: str | None
    session_id: str
    status: str
    current_task: str | None
    current_phase: str | None
    spawn_time: str
    last_heartbeat: str
    completion_time: str | None
    error_info: str | None
    unread_messages: int
    at_least: list[str]  # unread_messages, where there are more
    minutes_since_heartbeat: float
    condition: str

class SilentAgent(TypedDict):
    agent_id: str
    session_id: str
    marked: bool
    minutes_silent: float
    returned: int
    dead_lettered: int

class EndedAgents(TypedDict):
    marked_failed: list[str]
    returned: int
    dead_lettered: int

class Returned(TypedDict):  # what every one that is ended has, for whatever reason
    agent_id: str
    returned: int
    dead_lettered: int

class AgentLife(TypedDict):
    status: str
    last_heartbeat: str

class AgentHead(TypedDict):
    agent_id: str
    agent_type: str
    session_id: str

# State

class BatchResult(TypedDict, total=False):  # result, or status and error
    line: int
    result: Any
    status: int
    error: str

class SavedStates(TypedDict):
    agent_id: str
    versions: dict[str, int]

class SentMessages(TypedDict):
    ids: list[int]

class SavedState(TypedDict):
    agent_id: str
    state_key: str
    state_type: str
    version: int
    expires_at: str | None

class LoadedState(TypedDict):
    agent_id: str
    state_key: str
    value: str
    state_type: str | None
    version: int
    created_at: str | None
    updated_at: str | None
    expires_at: str | None
    session_id: str | None

class StateKey(TypedDict):
    agent_id: str
    state_key: str
    state_type: str
    version: int
    characters: int
    is_json: int
    created_at: str
    updated_at: str
    expires_at: str | None
    session_id: str | None
    milestone_id: str | None
    own: bool

class DeletedState(TypedDict):
    agent_id: str
    state_key: str
    expires_at: str | None

# Messages

class Broadcast(TypedDict):
    ids: list[int]
    to_agents: list[str]

class Sent(TypedDict, total=False):  # to '' it is a broadcast
    id: int
    to_agent: str
    ids: list[int]
    to_agents: list[str]

class BriefMessage(TypedDict):
    id: int
    from_agent: str
    message_type: str
    payload: dict[str, Any]

class InboxMessage(BriefMessage, total=False):  # what is left out is so where brief is asked for
    session_id: str
    to_agent: str
    priority: int
    created_at: str
    delivered_at: str | None
    retry_count: int
    lease_until: str  # of one taken for a time

class ListedMessage(BriefMessage):
    session_id: str
    to_agent: str
    priority: int
    created_at: str
    delivered_at: str | None
    retry_count: int
    acknowledged_at: str | None
    lease_until: str | None
    sent_for: str | None
    state: str

class Acknowledged(TypedDict):
    id: int
    acknowledged_at: str

class Requeued(TypedDict):
    id: int
    to_agent: str
    was: str

class TakenMessage(TypedDict):
    id: int
    from_agent: str
    to_agent: str
    message_type: str
    delivered_at: str
    retry_count: int

class DeadLetter(TypedDict):
    id: int
    from_agent: str
    to_agent: str
    message_type: str
    payload: dict[str, Any]
    retry_count: int
    created_at: str
    dead_lettered_at: str

# Checkpoints

class FileReference(TypedDict):
    path: str
    size: int
    sha256: str | None

class ComparedFile(FileReference):
    status: str

class MadeCheckpoint(TypedDict):
    checkpoint_id: str
    agent_id: str
    checkpoint_type: str
    keys: int
    messages: int
    files: int

class ListedCheckpoint(TypedDict):
    checkpoint_id: str
    checkpoint_type: str
    session_id: str
    created_at: str
    retention_until: str | None
    file_references: list[FileReference]

class Snapshot(TypedDict):
    checkpoint_id: str
    state_snapshot: str

class LastCheckpoint(TypedDict):
    checkpoint_id: str
    agent_id: str
    checkpoint_type: str
    created_at: str
    minutes_ago: float

class Restoration(TypedDict):
    checkpoint_id: str
    agent_id: str
    keys: list[str]
    kept_as: str
    files: list[ComparedFile]

# Sessions

class ReadSession(TypedDict):  # a Session whose configuration was read
    session_id: str
    milestone_id: str | None
    operation_type: str
    phase: str | None
    coordinator_id: str | None
    agent_count: int
    progress: float
    status: str
    configuration: dict[str, Any]
    created_at: str
    last_activity: str
    completed_at: str | None
    minutes_inactive: float

class Configured(TypedDict):
    configuration: str

class SessionHead(TypedDict):
    session_id: str
    milestone_id: str | None
    operation_type: str

class SessionLife(TypedDict):
    last_activity: str

class CountedMessages(TypedDict):  # at_least: which counts, as messages.acknowledged, were not carried on
    messages: dict[str, int]
    at_least: list[str]

class SessionStatus(ReadSession, CountedMessages):
    agents: list[SessionAgent]
    dead_letters: list[DeadLetter]

class SessionProgress(TypedDict):
    session_id: str
    progress: float
    phase: str | None

class ListedSession(TypedDict):
    session_id: str
    milestone_id: str | None
    operation_type: str
    phase: str | None
    status: str
    progress: float
    agent_count: int
    coordinator_id: str | None
    created_at: str
    last_activity: str
    completed_at: str | None

class FinishedSession(TypedDict):
    session_id: str
    operation_type: str
    milestone_id: str | None
    status: str
    progress: float
    completed_at: str | None
    changed: bool

# Planning

class SavedArtifact(TypedDict):
    state_key: str
    agent_id: str
    version: int
    updated_at: str

class Artifacts(TypedDict):
    session_id: str
    present: list[str]
    missing: list[str]
    artifacts: list[SavedArtifact]

class SecuredArtifacts(Artifacts):
    checkpoints: list[str]

class PlanningSession(TypedDict):
    id: str
    status: str
    milestone_id: str | None
    progress: float
    agent_count: int
    created_at: str
    last_activity: str
    description: str
    artifacts: list[str]

class PlanningSessions(TypedDict):
    sessions: list[PlanningSession]

class MadeMilestone(TypedDict):
    milestone_id: str
    session_id: str
    created: bool

# Recovery

class Result(TypedDict):
    agent_id: str
    state_key: str
    updated_at: str

class Flawed(Result):
    flaw: str

class NearKey(TypedDict):
    agent_id: str
    state_key: str
    save_as: str

class Results(TypedDict):
    saved: list[Result]
    empty: list[Flawed]

class Piece(TypedDict):
    name: str
    agent_type: str

class Deliverable(Piece, Results):
    weight: float
    near: list[NearKey]

class SilentFor(TypedDict):
    agent_id: str
    minutes: float

class QuietAgents(TypedDict):
    minutes: int
    agents: list[str]
    longest: list[SilentFor]

class PlanSurvey(TypedDict):
    artifacts: list[str]
    more: list[Result]
    can_become: str | None

class Survey(ReadSession, PlanSurvey, CountedMessages):
    interrupted: bool
    agents: list[SurveyedAgent]
    counts: dict[str, int]
    quiet: QuietAgents
    deliverables: list[Deliverable]
    missing: list[str]
    next: list[str]
    estimated_progress: float
    taken: list[TakenMessage]
    dead_letters: list[DeadLetter]
    last_checkpoint: LastCheckpoint | None

class Option(TypedDict):
    label: str
    command: list[str]

class Recovery(Survey):
    verdict: str
    options: list[Option]

class TypedRecovery(Recovery):
    other_interrupted: list[str]

class InterruptedSession(TypedDict):
    session_id: str
    milestone_id: str | None
    operation_type: str
    phase: str | None
    progress: float
    last_activity: str
    agents: int
    active: int
    failed: int
    stale: int
    minutes_inactive: float

class Attention(TypedDict):
    what: str
    command: list[str]

class OverviewSession(TypedDict):
    session_id: str
    milestone_id: str | None
    operation_type: str
    phase: str | None
    status: str
    progress: float
    last_activity: str
    coordinator_id: str | None
    agents: int
    alive: int

class OverviewAgent(TypedDict):
    agent_id: str
    agent_type: str
    session_id: str
    status: str
    current_task: str | None
    current_phase: str | None
    last_heartbeat: str
    error_info: str | None
    minutes_since_heartbeat: float
    silent: bool
    watched: bool | None

class Inbox(TypedDict):
    agent_id: str
    waiting: int
    taken: int
    dead: int
    urgent_since: str | None
    at_least: list[str]  # those of the numbers of which there are more

class Overview(TypedDict):
    now: str
    directory: str
    backend: str
    database: str
    exists: bool
    attention: list[Attention]
    sessions: list[OverviewSession]
    agents: list[OverviewAgent]
    inboxes: list[Inbox]
    events: list[Event]

class CountedStore(CountedMessages):
    sessions: dict[str, int]
    agents: dict[str, int]
    checkpoints: int

class RecoveryStatus(CountedStore):
    interrupted: list[str]

class RecoveryFunction(TypedDict):
    name: str
    usage: str
    summary: str

class Validation(TypedDict):
    session_id: str
    present: list[str]
    missing: list[str]
    empty: list[str]
    deliverables: list[Deliverable]
    valid: bool
    can_be_completed: bool

class FinishedPlanning(FinishedSession):
    assembled_from: list[str]

class RecoveredMilestone(MadeMilestone):
    assembled_from: list[str]

class AgentToStart(TypedDict):
    agent_id: str
    agent_type: str
    condition: str
    unread_messages: int
    at_least: list[str]
    error_info: str | None

class ResultOfAnother(TypedDict):
    agent_id: str
    state_key: str

class WorkOrder(TypedDict):
    agent_id: str
    agent_type: str
    session_id: str
    milestone_id: str
    why: str
    makes: str | None
    save_as: str | None
    state_keys: list[str]
    checkpoint: str | None
    unread_messages: int
    at_least: list[str]
    results_of_others: list[ResultOfAnother]

class Order(WorkOrder, total=False):  # result, failed: where agent_spawn_command was run for it
    result: str
    failed: bool

class DeadAgents(EndedAgents):
    ended: list[str]

class Resumption(DeadAgents):
    orders: list[Order]
    session_id: str
    status: str
    spawn_command: str

class StaleCleanup(EndedAgents):
    removed: dict[str, int]

class SessionCleanup(TypedDict):
    failed: list[str]
    removed: list[str]
    kept: list[str]
    messages_lost: int

# Milestones

class WrittenRecord(TypedDict):
    milestone_id: str
    path: str | None
    version: int

class ListedMilestone(TypedDict):
    id: str
    title: str
    status: str
    priority: str
    created_at: str
    updated_at: str
    file_path: str | None
    version: int

class ReadRecord(ListedMilestone):
    text: str

class FoundMilestone(TypedDict):
    id: str
    title: str
    status: str
    lines: list[str]

class Analytics(TypedDict):
    milestones: dict[str, int]
    priorities: dict[str, int]
    sessions: dict[str, int]
    operations: dict[str, int]
    agents: dict[str, int]
    messages: dict[str, int]

class TakenLease(MilestoneLock):
    taken: bool

class Lease(TakenLease):
    token: bool

class ReleasedLease(TypedDict):
    milestone_id: str
    owner: str

# Backup

class Backup(TypedDict):
    file: str
    rows: dict[str, int]

class Export(Backup, total=False):
    text: str  # where the file is -

class Replacement(Backup):
    kept: str | None

# Files of /tmp

class SkippedFile(TypedDict):
    file: str
    why: str | None
    failed: bool

class ImportedFile(TypedDict):
    file: str
    what: str
    agent_id: str
    state_key: str
    session_id: str
    is_json: bool
    removed: bool

class ImportedFiles(TypedDict):
    directory: str
    dry_run: bool
    removed: bool
    skipped: list[SkippedFile]
    files: list[ImportedFile]

# Log

class MilestoneEvent(TypedDict):
    timestamp: str
    event: str
    milestone_id: str
    detail: str

class StorageEvent(TypedDict):
    timestamp: str
    event: str
    milestone_id: str
    backend: str
    details: dict[str, Any]

# Installing

class InstalledFile(TypedDict, total=False):
    folder: str
    file: str
    change: str
    kept: str

class Installed(TypedDict, total=False):  # program, relative: of install
    changes: list[InstalledFile]
    program: str
    relative: bool
    dry_run: bool
    notes: list[str]
    problems: list[str]

class Drift(TypedDict):
    file: str
    drift: str

class Copy(TypedDict, total=False):
    path: str
    form: Literal["folder", "zipapp"]
    version: str
    written: bool
    drift: list[Drift]  # from here: of --check
    current: bool

# Hooks

class Notice(TypedDict):
    id: int
    from_agent: str
    message_type: str
    priority: int
    is_broadcast: int
    created_at: str

class Unread(TypedDict):
    number: int
    since: str | None

class Heading(KnownAgent):
    unread: int
    taken: int

class StateHead(TypedDict):
    agent_id: str
    state_key: str
    updated_at: str

class OpenSession(TypedDict):
    session_id: str
    status: str
    progress: float
    last_activity: str
    agent_count: int

class BriefedSession(KnownSession):
    phase: str | None
    progress: float

class Briefing(TypedDict):
    continues: bool
    agent: Heading | None
    others: list[Heading]
    session: BriefedSession | None
    taken: list[Notice]
    unread: list[Notice]
    unread_count: int
    changed: list[StateHead]
    changed_count: int
    own_keys: int
    last_checkpoint: LastCheckpoint | None
    open_sessions: list[OpenSession]
    interrupted: list[str]
    next: str

class HookContext(TypedDict):
    hookEventName: str
    additionalContext: str

class HookAnswer(TypedDict, total=False):
    hookSpecificOutput: HookContext
    decision: str
    reason: str

class Watcher(TypedDict):
    agent_id: str
    alive: bool
    pid: int | None
    host: str | None
    started_at: str | None

class WatchEnd(TypedDict):
    agent_id: str
    calls: int
    ended: str
