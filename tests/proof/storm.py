"""Many processes at once: a storm in which a third is killed, and contention in which none is.

Each sender writes down what was confirmed to it, each taker what it got; these lists are compared with the store.
"""
from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from stores import PROGRAM, ROOT, make_environ, make_folder, open_quietly  # noqa: E402

INBOXES = 4
SHELL = '. "$1"; send_agent_message "$2" "$3" progress_update "{\\"n\\": $4}"'


def append(path, *lines):
    """Add whole lines to a list, in one write."""
    with open(path, "ab", buffering=0) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def send(store, me, number, by_shell, directory):
    """Send one message; its id."""
    inbox = f"inbox-{number % INBOXES}"
    if not by_shell:
        return store.send_agent_message(f"sender-{me}", inbox, "progress_update", {"n": number})["id"]
    words = ["sh", "-c", SHELL, "sh", str(ROOT / "shell" / "storage-adapter.sh"), f"sender-{me}", inbox, str(number)]
    environ = {**make_environ(), "MILESTONE_DIR": directory, "MILESTONE_PYTHON": sys.executable}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout)


def work(role, directory, lists, me, count):
    """The job of one process: send `count` messages, or take until there are none and all senders have ended."""
    me, count, lists = int(me), int(count), Path(lists)
    with open_quietly(directory) as store:
        try:
            if role == "taker":
                while True:
                    ended = (lists / "ended").exists()
                    taken = store.get_agent_messages(f"inbox-{me % INBOXES}", True, 3, lease=3600)
                    append(lists / f"taken-{me}-{os.getpid()}", *(row["id"] for row in taken))
                    for row in taken:
                        store.acknowledge_agent_message(f"inbox-{me % INBOXES}", row["id"])
                    if ended and not taken:
                        return
            for number in range(count):
                number = me * 1_000_000 + os.getpid() % 1000 * 1000 + number
                append(lists / f"sent-{me}", send(store, me, number, role == "shell", directory))
        except Exception as error:
            append(lists / "errors", f"{role} {me}: {error!r}")
            raise SystemExit(1) from None


def start(role, directory, lists, me, count):
    return subprocess.Popen([sys.executable, __file__, role, directory, str(lists), str(me), str(count)],
                            env=make_environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read_lists(lists, kind):
    return [int(line) for path in Path(lists).glob(f"{kind}-*") for line in path.read_text().split()]


def run_crowd(backend, senders, takers, count, shells=0, kills=0, seed=1):
    """Let senders and takers work on a fresh store, `kills` of them killed at random moments and started again.

    What came of it: how many messages were confirmed, killed, lost, doubled, and which errors there were.
    """
    chance = random.Random(seed)
    with make_folder("storm-") as top:
        directory, lists = os.path.join(top, "store"), Path(top, "lists")
        lists.mkdir()
        prepare(directory, backend)
        jobs = [("shell" if me < shells else "sender", me, count) for me in range(senders)]
        jobs += [("taker", me, 0) for me in range(takers)]
        living = {start(role, directory, lists, me, n): (role, me, n) for role, me, n in jobs}
        killed = 0
        while living:
            time.sleep(chance.uniform(0.02, 0.3) if killed < kills else 0.05)
            if killed < kills:
                victim = chance.choice(list(living))
                if victim.poll() is None:
                    victim.send_signal(signal.SIGKILL)
                    job = living.pop(victim)
                    victim.wait()
                    living[start(job[0], directory, lists, *job[1:])] = job
                    killed += 1
            for process in [process for process in living if process.poll() is not None]:
                del living[process]
            if all(role == "taker" for role, _, _ in living.values()):
                (lists / "ended").touch()
        return {"killed": killed, **judge(directory, lists)}


def open_at_once(backend, processes=24):
    """Let processes save a key each in a directory that is not there yet: the errors, and how many keys are there."""
    with make_folder("opening-") as top:
        directory = os.path.join(top, "store")
        words = [*PROGRAM, "--dir", directory, "save-agent-state", "a"]
        started = [subprocess.Popen([*words, f"k-{number}", "v"], env=make_environ(backend), stderr=subprocess.PIPE,
                                    text=True) for number in range(processes)]
        said = [(process.communicate()[1], process.returncode) for process in started]
        with open_quietly(directory) as store:
            return [text for text, status in said if status], len(store.list_agent_state("a"))


def prepare(directory, backend):
    with open_quietly(directory, backend) as store:
        store.set_storage_config("message_retry_limit", "1000")
        for number in range(INBOXES):
            store.register_agent(f"inbox-{number}", "validation", "ms-1", "execution-1")
        store.migrate_storage_backend(backend)


def judge(directory, lists):
    """Compare what processes wrote down with what is in the store."""
    sent, taken = read_lists(lists, "sent"), collections.Counter(read_lists(lists, "taken"))
    errors = (lists / "errors").read_text().splitlines() if (lists / "errors").exists() else []
    with open_quietly(directory) as store:
        rows = {row["id"]: row for inbox in range(INBOXES)
                for row in store.list_agent_messages(f"inbox-{inbox}", limit=1_000_000)}
        unsound = [row["what"] for row in store.doctor() if row["severity"] not in ("sound", "note", "warning")]
    waiting = {number for number, row in rows.items() if row["state"] not in ("acknowledged",)}
    lost = [number for number in sent if number not in rows]
    lost += [number for number in sent if number in rows and number not in taken and number not in waiting]
    return {"confirmed": len(sent), "taken": len(taken), "left": len(waiting & set(sent)), "lost": len(set(lost)),
            "doubled": sum(1 for times in taken.values() if times > 1), "errors": errors, "unsound": unsound,
            "repeated_ids": len(sent) - len(set(sent))}


if __name__ == "__main__":
    work(*sys.argv[1:])
