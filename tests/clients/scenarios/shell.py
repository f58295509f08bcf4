"""Plain shell: the functions in a client's own shell, in all its folders, and the commands that our documents show."""
from __future__ import annotations

import json
import re
import threading
import time

from clients import CLIENTS
from model import Step

from bench import ROOT, git

ADAPTER = ".claude/shared/milestone/storage-adapter.sh"
WAY = "plain shell"
DONE = Step(text="done")
REFUSED = re.compile(r"ERROR (?!Exit code )")  # Claude Code's words for a command that was not run are many


def blocks(bench, report, clients):
    """Every shell block of our prompts and skill in Claude Code, as shipped: how many are refused."""
    for client in clients:
        if client.name != "claude":
            continue
        home = bench.home(client)
        project = bench.project()
        bench.install(project, home, "--prompts")
        shown = [block for path in sorted((ROOT / "agents").glob("*.md"))
                 for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), re.S)]
        steps = [Step(sh=re.sub(r"--wait \d+", "--wait 1", block.rstrip("\n"))) for block in shown]
        results = bench.play(client, project, home, *steps, DONE, seconds=600).results()[:len(shown)]
        refused = [block for block, result in zip(shown, results) if REFUSED.match(result)]
        report.check(WAY, "shell blocks of our prompts and skill pass the permission check", client,
                     len(results) == len(shown) and not refused, f"{len(refused)} of {len(shown)} refused")


def functions(bench, report, clients):
    """The functions in each client's shell: as they are, and after the file they are in."""
    for client in clients:
        home = bench.home(*clients)
        project = bench.project()
        bench.install(project, home)
        call = "save_agent_state worker-ms-5-1"
        played = bench.play(client, project, home, Step(sh=f"{call} plain v"),
                            Step(sh=f". {ADAPTER} && {call} sourced v"), DONE)
        keys = bench.keys(project, home)
        plain, sourced = "plain" in keys, "sourced" in keys
        report.check("hook", "functions in every command, without sourcing", client, plain,
                     expected=client.name == "claude")
        report.check(WAY, f"functions behind `. {ADAPTER} &&`", client, sourced,
                     "" if sourced else "asked for: a sourced file", expected=client.name != "claude")
        report.check("skill", "the skill is offered to the model", client,
                     "Work with other agents on one milestone" in played.first_request)
        section = "Coordination with other agents" in played.first_request
        report.check(WAY, "our section of AGENTS.md or GEMINI.md reaches the model", client, section)


def places(bench, report, clients):
    """Codex in a subfolder and in a linked worktree: one store, or a clear error."""
    client = CLIENTS["codex"]
    if client not in clients:
        return
    home = bench.home(client)
    project = bench.project()
    bench.install(project, home)
    git(project, "add", ".")
    git(project, "commit", "-qm", "ready")
    (project / "src").mkdir()
    tree = project.with_name(project.name + "-tree")
    git(project, "worktree", "add", "-q", tree)
    _see_store(bench, report, home, "in a subfolder, nothing made yet", project / "src", project, f". ../{ADAPTER}")
    bench.program(project, home, "initialize-agent-coordination")
    _see_store(bench, report, home, "at the top", project, project, f". {ADAPTER}")
    _see_store(bench, report, home, "in a subfolder", project / "src", project, f". ../{ADAPTER}")
    _see_store(bench, report, home, "in a linked worktree", tree, project, f". {ADAPTER}")
    roots = json.dumps([str(project / ".milestones")])
    _see_store(bench, report, home, "in a linked worktree, with `writable_roots`", tree, project, f". {ADAPTER}",
               "-c", f"sandbox_workspace_write.writable_roots={roots}")


def _see_store(bench, report, home, where, cwd, project, begin, *options):
    """Save a value in Codex, and look from outside: in the one store, or refused with a line that tells what to do."""
    client, key = CLIENTS["codex"], f"key-{time.time_ns()}"
    save = f"{begin} && save_agent_state worker-ms-5-1 {key} v; echo status $?"
    played = bench.play(client, cwd, home, Step(sh=save), DONE, options=options)
    stores = [path for top in {project, cwd} for path in top.rglob(".milestones")]
    is_one = set(stores) <= {project / ".milestones"}
    saved = is_one and key in bench.keys(project, home)
    [result] = played.results()
    is_told = "status 3" in result and "writable_roots" in result
    report.check(WAY, f"one store, {where}", client, is_one and (saved or is_told),
                 "" if saved else "status 3, and the line names `writable_roots`" if is_told else "not saved")


def waiting(bench, report, clients):
    """A message that is sent while a client waits for it: the model reads it, or it is still in the inbox."""
    for client in clients:
        home = bench.home(client)
        project = bench.project()
        bench.install(project, home)
        begin = "" if client.name == "claude" else f". {ADAPTER} && "
        bench.program(project, home, "initialize-agent-coordination")
        for seconds, after in ((8, 3), (60, 14)):
            _see_message(bench, report, client, project, home, begin, seconds, after)


def _see_message(bench, report, client, project, home, begin, seconds, after):
    agent, word = f"waiter-ms-{seconds}", f"word-{seconds}"

    def send():
        bench.program(project, home, "send-agent-message", "boss-ms-1", agent, "task_assignment",
                      json.dumps({"text": word}))

    timer = threading.Timer(after, send)
    wait = Step(sh=f"{begin}get_agent_messages {agent} true 1 --wait {seconds}", before=timer.start)
    steps = [wait, DONE]
    if client.name == "codex":  # its shell returns after 10 s, and what it left behind goes on as long as it does
        wait.given = {"yield_time_ms": 10000}
        steps[1:1] = [Step(sh=f"sleep {after}")]
    played = bench.play(client, project, home, *steps)
    timer.join()
    is_read = any(word in result for result in played.results())
    is_there = word in bench.program(project, home, "get-agent-messages", agent)
    report.check(WAY, f"a message sent during `--wait {seconds}` is not lost", client, is_read or is_there,
                 "read by the model" if is_read else "still in the inbox" if is_there else "taken and not read")
