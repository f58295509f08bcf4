"""The product broken on purpose: for each break, which test catches it.

    python3 tests/proof/mutations.py [--only TEXT…] [--all-tests] [--write]     with the Python of a test environment

--only tries the mutations with one of these texts in their names; --write notes in docs/reliability.md which test
caught each. The test noted there is tried first; with --all-tests all that are to catch it are tried in their order.

A mutation is a text that stands once in a file, what it becomes, and the tests that are to catch it. tests/project/
test_proof.py sees that every text is still there.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tables

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "milestone_persist/"
OTHERS = "not mutation"  # the test of this list catches every change of a text


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def find(self, root=ROOT):
        """The file, its text, and how often the text to be replaced stands in it."""
        path = Path(root, self.file)
        text = path.read_text()
        return path, text, text.count(self.old)


def break_(name, file, old, new, *tests):
    return Mutation(name, PACKAGE + file, old, new, tuple("tests/" + test for test in tests))


PAGE = "project/test_dashboard.py"
POWER = "storage/test_power_cut.py"
MESSAGES = ("operations/test_messages.py", "operations/test_delivery.py")
MUTATIONS = [
    # transactions, locks, durability
    break_("deferred transaction", "storage/sqlite/store.py", 'sql: str = "BEGIN IMMEDIATE"',
           'sql: str = "BEGIN"', "storage/test_locked.py", "generate/test_shell_concurrency.py"),
    break_("an error of COMMIT is swallowed", "storage/sqlite/embedded.py",
           'self.rollback()\n            raise self.explain(error, "reading") from None', "self.rollback()",
           "storage/test_locked.py", "storage/test_crash.py"),
    break_("synchronous off", "storage/sqlite/store.py", '"full": "FULL"', '"full": "OFF"', POWER),
    break_("the removal of the journal is not synced", "storage/sqlite/store.py",
           "sync_directory(os.path.dirname(self.path))", "pass",
           POWER),
    break_("foreign keys off", "storage/sqlite/embedded.py", '"foreign_keys = ON"', '"foreign_keys = OFF"',
           "storage/test_schema.py"),
    break_("no sync where a file is written whole", "storage/files.py",
           "left = left[os.write(descriptor, left):]\n        flush(descriptor)",
           "left = left[os.write(descriptor, left):]", POWER),
    break_("a folder is not synced", "storage/files.py", "try:\n        flush(descriptor)\n    except OSError",
           "try:\n        pass\n    except OSError", POWER),
    break_("a name before the bytes", "storage/files.py",
           "fill_file(make_file(part), data)\n            give_name(part, path, replace)",
           "descriptor = make_file(part)\n            give_name(part, path, replace)\n"
           "            fill_file(descriptor, data)", "project/test_proof.py"),
    break_("an export is not synced before it has its name", "storage/parts.py", "flush(self._lock)", "pass",
           "project/test_proof.py"),
    break_("the files' lock is shared by writers", "storage/jsonfiles/lock.py",
           "held.enter(exclusive, left)", "held.enter(False, left)",
           "storage/test_file_backend.py", "storage/test_locked.py"),
    break_("the journal of files is not synced", "storage/jsonfiles/journal.py",
           "        is_told = True\n        sync_directory(directory)\n", "        is_told = True\n",
           "project/test_proof.py"),
    break_("the journal is removed before it is carried out", "storage/jsonfiles/journal.py",
           "def _carry_out(directory: str, contents: Contents, tag: str) -> None:\n",
           "def _carry_out(directory: str, contents: Contents, tag: str) -> None:\n"
           "    remove_if_there(os.path.join(directory, JOURNAL))\n",
           "storage/test_crash.py", "storage/test_file_crashes.py"),
    break_("a journal may name any file", "storage/jsonfiles/journal.py",
           "not all(_is_ours(directory, *item) for item in contents.items())", "False",
           "storage/test_hostile_directory.py", "storage/test_file_crashes.py"),
    break_("an exception does not undo the transaction", "storage/interface.py",
           "finally:\n                storage.rollback()", "finally:\n                storage.commit()",
           "operations/test_state.py", "storage/test_crash.py"),
    break_("a moved store is written on", "storage/interface.py",
           "storage.refuse_moved(found)  # while this one waited for the lock, or before that", "pass",
           "moving/test_migration.py", "project/test_switching.py"),
    # messages
    break_("looking takes", "operations/taking.py", "brief) if take else", "brief) if True else", *MESSAGES),
    break_("the least urgent first", "operations/taking.py", "ORDER BY priority DESC, id", "ORDER BY priority, id",
           *MESSAGES),
    break_("the order is by time", "operations/taking.py", 'ORDER = "ORDER BY priority DESC, id"',
           'ORDER = "ORDER BY priority DESC, created_at, id DESC"', *MESSAGES),
    break_("a take under another's session", "operations/taking.py",
           'if acting_session(store, agent) != agent["session_id"]:', "if False:", "coordination/test_lives.py"),
    break_("a take acknowledges in silence", "operations/taking.py",
           "_tell_acknowledged(store, agent_id, done)", "pass", *MESSAGES),
    break_("a take acknowledges nothing", "operations/taking.py",
           "done = held if lease is None else []", "done: list[Row] = []",
           *MESSAGES),
    break_("a take with a lease acknowledges", "operations/taking.py",
           "done = held if lease is None else []", "done = held",
           *MESSAGES),
    break_("a lease never ends", "coordination/message_states.py", 'LAPSED = f"{TAKEN} AND lease_until <= :now"',
           'LAPSED = f"{TAKEN} AND lease_until <= :now AND 1 = 0"', *MESSAGES),
    break_("a requeue is no retry", "coordination/inbox.py", "retry_count = retry_count + 1 {taken}",
           "retry_count = retry_count {taken}", *MESSAGES, "operations/test_recovery.py"),
    break_("one retry too many", "coordination/inbox.py", "AND retry_count >= :limit", "AND retry_count > :limit",
           *MESSAGES, "operations/test_recovery.py"),
    break_("registering again requeues nothing", "coordination/inbox.py",
           "if rows:\n        _record_requeue(store, agent_id, rows)\n    return len(rows)", "return 0",
           "coordination/test_lives.py"),
    break_("another's message is acknowledged", "operations/messages.py",
           '"SELECT dead_lettered_at FROM agent_messages WHERE id = :id AND to_agent = :agent"',
           '"SELECT dead_lettered_at FROM agent_messages WHERE id = :id"', *MESSAGES),
    break_("a broadcast reaches who has ended", "operations/sending.py",
           'others = [row for row in found if row["status"] not in ENDED_AGENT]', "others = found",
           "coordination/test_lives.py", *MESSAGES),
    break_("--max-bytes is forgotten", "coordination/inbox.py", "if size > most and count:", "if False:", *MESSAGES),
    break_("a key hides other content", "coordination/idempotency.py",
           'if found[0]["content_digest"] != given["digest"]:', "if False:", *MESSAGES),
    # state and checkpoints
    break_("a version is not raised", "coordination/state.py", 'int(before["version"]) + 1',
           'int(before["version"])', "operations/test_state.py"),
    break_("--if-version is not looked at", "operations/state.py", "if found != wanted:", "if False:",
           "operations/test_state.py"),
    break_("an expired key is read", "base/tables.py", 'LIVE = "(expires_at IS NULL OR expires_at > :now)"',
           'LIVE = "(expires_at IS NULL OR expires_at > :now OR 1 = 1)"', "operations/test_state.py"),
    break_("NUL is stored", "base/values.py", 'if "\\0" in value:', "if False:", "operations/test_state.py",
           "generate/test_shell_values.py"),
    break_("half a character is stored", "base/values.py", "given, text = value, whole_escapes(value)",
           "given = text = value", *MESSAGES),
    break_("JSON of any depth", "base/values.py", "_depth(value) > deepest:", "False:", *MESSAGES,
           "operations/test_state.py"),
    break_("NaN is JSON", "base/json_text.py", "parse_constant=_refuse_constant, ", "", "operations/test_state.py",
           *MESSAGES),
    # agents and recovery
    break_("a silent agent is not stale", "coordination/liveness.py",
           'return agent["status"] in AT_WORK and agent["last_heartbeat"] <= limit', "return False",
           "operations/test_recovery.py", "operations/test_agents.py"),
    break_("an agent that has ended is marked failed", "coordination/liveness.py",
           'minutes_between(agent["last_heartbeat"], store.now()), agent["status"] in AT_WORK',
           'minutes_between(agent["last_heartbeat"], store.now()), True', "operations/test_recovery.py",
           "operations/test_agents.py", "coordination/test_lives.py"),
    break_("sessions that have just ended are failed", "operations/cleanup.py",
           "status = 'active' AND last_activity <= :old \"",
           "status = 'active' \"", "operations/test_recovery.py", "operations/test_sessions.py"),
    break_("what holds work is cleaned up", "operations/cleanup.py",
           'kept = [row["session_id"] for row in ended if _holds_work(store, row)]', "kept = []",
           "operations/test_recovery.py", "operations/test_sessions.py"),
    # backups, moves
    break_("a backup is not checked", "operations/backups.py", "if wrong:\n        raise StorageError", "if False:\n"
           "        raise StorageError", "operations/test_backups.py", "storage/test_damage.py",
           "moving/test_backup_kills.py"),
    break_("a backup that is not whole is restored", "operations/backups.py", "require_whole(source, file)", "pass",
           "moving/test_backup_kills.py"),
    break_("no backup before a restore", "operations/backups.py", 'kept = backup_coordination(store)["file"]',
           'kept = "none"', "operations/test_backups.py"),
    break_("a foreign command is restored", "operations/backups.py", "_keep_own_commands(store, own)\n            for",
           "for", "operations/test_backups.py", "moving/test_round_trip.py"),
    break_("an import over what is there", "operations/backups.py", "elif not _is_empty(store):", "elif False:",
           "operations/test_backups.py", "moving/test_round_trip.py"),
    break_("a copy is not compared", "moving/migration.py", "if old != new:", "if False:", "moving/test_migration.py"),
    break_("a move leaves no tombstone", "moving/migration.py", "write_tombstone(store, backend, when)\n    _switch",
           "_switch", "moving/test_migration.py", "project/test_switching.py", "project/test_migration_kills.py"),
    # strangers
    break_("a link that leads out is followed", "storage/directory.py",
           "if os.path.islink(path) and not is_inside(path, directory):", "if False:",
           "storage/test_hostile_directory.py"),
    break_("another user's directory is used", "storage/directory.py",
           "if not is_open and not is_own(directory):", "if False:",
           "storage/test_owner.py", "storage/test_hostile_directory.py"),
    break_("lax rights stay", "storage/directory.py", "if status.st_mode & 0o022:", "if False:",
           "storage/test_owner.py", "storage/test_hostile_directory.py"),
    break_("root locks the owner out", "storage/files.py", "if os.geteuid() == 0 and above.st_uid:", "if False:",
           "storage/test_owner.py"),
    break_("an escape reaches the terminal", "base/values.py",
           'text.isprintable():\n        return text\n    return "".', 'True:\n        return text\n    return "".',
           "base/test_escapes.py", "cli/test_surroundings.py"),
    break_("ids with control characters", "base/values.py",
           "if not (value.isascii() and value.isprintable()) and has_controls(check_text(value, what)):", "if False:",
           "cli/test_bad_calls.py", "operations/test_agents.py"),
    break_("quotes are not escaped in commands", "base/quoting.py", """word.replace("'", "'\\\\''")""", "word",
           "coordination/test_identity.py", "operations/test_recovery_states.py"),
    break_("any trigger is harmless", "storage/sqlite/harmless.py",
           "if not trigger or not _are_there(trigger", "if trigger and not _are_there(trigger",
           "storage/test_hostile_directory.py", "storage/test_damage.py", "operations/test_doctor.py"),
    break_("half a log line glues to the next", "storage/files.py",
           "os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)\n        raise", "raise",
           "operations/test_log.py", "storage/test_durable.py", "storage/test_crash.py"),
    # surfaces
    break_("an internal error is a traceback", "cli/process.py", "except Exception as error:\n        _say",
           "except ZeroDivisionError as error:\n        _say", "cli/test_surroundings.py", "cli/test_cli.py",
           "generate/test_shell_calls.py"),
    break_("a nested repository is looked through", "base/location.py", 'if is_top(here):\n            return "", here',
           'if False:\n            return "", here', "base/test_location.py", "opening/test_presence.py"),
    break_("an empty .git is a top", "base/location.py", 'os.lstat(os.path.join(path, "HEAD"))', "os.lstat(path)",
           "base/test_location.py", "opening/test_presence.py"),
    # installing
    break_("a client's file is not durable before it has its name", "install/file_changes.py",
           "file.flush()\n            flush(descriptor)", "file.flush()", "project/test_proof.py"),
    break_("changes of a project are not durable in their order", "install/file_changes.py",
           "self._undo.append(restore)\n        sync_directory(os.path.dirname(path))", "self._undo.append(restore)",
           "project/test_proof.py"),
    break_("what a killed installation left stays", "install/file_changes.py",
           "if not self.dry_run:\n            remove_if_there(path + NEW)", "pass", "install/test_install.py"),
    break_("a stranger's file is away before ours is there", "install/file_changes.py",
           "os.link(path, name, follow_symlinks=False)", "os.rename(path, name)", "install/test_install.py"),
    break_("an end forgets what it did first", "install/installation.py",
           "self._remove_directories(changes, old.directories)\n            changes.remove(self._manifest_path)",
           "changes.remove(self._manifest_path)", "install/test_install.py"),
    # pages, clients
    break_("values become markup", "view/markup.py", "return html.escape(", "return str(", "view/test_page.py"),
    break_("any name of the host is served", "view/server.py", 'self.headers.get("Host") in names', "True", PAGE),
    break_("any site may ask", "view/server.py", "origin is None or origin in", "True or origin in", PAGE),
    break_("no token is wanted", "view/server.py", "or not hmac.compare_digest(", "or () and (", PAGE),
    break_("an end by the client overwrites what the agent said", "hooks/answering.py",
           'if agent["status"] in AT_WORK and not (', "if not (", "hooks/test_hook.py"),
    break_("any revision of MCP", "mcp/protocol.py", "if version not in MODERN:", "if False:",
           "mcp/test_mcp_protocol.py"),
    break_("NaN on the wire", "mcp/protocol.py", ', parse_constant=_refuse_constant)', ")", "mcp/test_mcp_protocol.py"),
    break_("who has just written is the next to write", "storage/write_queue.py",
           "if not lock(self._line, True, until):", "if False:", "storage/test_write_queue.py",
           "storage/test_file_lock.py"),
    break_("writers do not stand in line", "storage/sqlite/store.py", "if self._queue and not self._queue.enter(",
           "if self._queue and False and not self._queue.enter(", "storage/test_write_queue.py"),
]


@dataclass
class Outcome:
    mutation: Mutation
    caught_by: str  # "" where no test failed


def copy_checkout(folder):
    """A copy of what git tracks, to be broken."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, names)):
        target = Path(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target, follow_symlinks=False)


def run_tests(tests, folder):
    """Run tests in the copy until one fails: its function, or ""."""
    there = [test for test in tests if Path(folder, test.partition("::")[0]).exists()]
    done = subprocess.run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", OTHERS, *there],
                          cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True,
                          timeout=1800, errors="replace", check=False)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+?)(?:\[.*)?(?: - .*)?$", done.stdout, re.M)
    if done.returncode == 1 and failed:
        return failed[1]
    if done.returncode:
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-900:]} {done.stderr[-900:]}")
    return ""


def try_mutation(mutation, folder, known=""):
    """Break the copy, run the tests until one fails, and put the copy right again.

    known: the test that caught it before, which is tried first
    """
    path, text, number = mutation.find(folder)
    if number != 1:
        raise LookupError(f"{mutation.name}: its text stands {number} times in {mutation.file}")
    path.write_text(text.replace(mutation.old, mutation.new))
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
    try:
        found = known and has_test(known) and run_tests([known], folder)
        return Outcome(mutation, found or run_tests(mutation.tests, folder))
    except subprocess.TimeoutExpired:
        return Outcome(mutation, "a test that never ended")
    finally:
        path.write_text(text)
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)


def has_test(name):
    """Whether there is such a test: its file and its function."""
    file, _, function = name.partition("::")
    return Path(ROOT, file).is_file() and f"def {function}(" in Path(ROOT, file).read_text()


def require_sound(outcomes, folder):
    """RuntimeError unless the tests that caught something pass on the copy as it is: else they would catch anything."""
    caught = sorted({each.caught_by for each in outcomes if has_test(each.caught_by)})
    failed = run_tests(caught, folder) if caught else ""
    if failed:
        raise RuntimeError(f"{failed} fails with nothing broken")


def try_all(mutations=MUTATIONS, report=print, all_tests=False):
    """The outcome of each mutation."""
    known = {} if all_tests else read_outcomes()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        os.chmod(folder, 0o755)  # some tests are other users
        copy_checkout(folder)
        outcomes = []
        for mutation in mutations:
            outcomes.append(try_mutation(mutation, folder, known.get(mutation.name, "")))
            report(f"{mutation.name}: {outcomes[-1].caught_by or 'NOT CAUGHT'}", flush=True)
        require_sound(outcomes, folder)
    return outcomes


def read_outcomes():
    """The tests that are noted in the document, by the names of mutations."""
    return {name: cells[1].strip("`") for name, cells in tables.read(tables.MUTATIONS).items()}


def write_outcomes(outcomes):
    """Note in the document which test caught each mutation."""
    found = {each.mutation.name: [f"`{each.mutation.file[len(PACKAGE):]}`", f"`{each.caught_by}`"] for each in outcomes
             if each.caught_by}
    tables.note(tables.MUTATIONS, found, [each.name for each in MUTATIONS])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    parser.add_argument("--all-tests", action="store_true")
    parser.add_argument("--write", action="store_true", help="note the tests in docs/reliability.md")
    given = parser.parse_args()
    found = try_all([each for each in MUTATIONS if any(text in each.name for text in given.only)],
                    all_tests=given.all_tests)
    if given.write:
        write_outcomes(found)
    missed = [each.mutation.name for each in found if not each.caught_by]
    print(f"{len(found) - len(missed)} of {len(found)} caught")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
