"""Bad ground: one damage done to a filled store, and what looks, writes, doctor and doctor --fix say then.

`python3 tests/ground.py` tries every damage of tests/project/test_bad_ground.py and writes the table of
docs/reliability.md again.
"""
from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from milestone_persist.cli.main import Console, main  # noqa: E402
from milestone_persist.storage.call import Clock  # noqa: E402

PROGRAM = str(ROOT / "milestone_persist" / "__main__.py")
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- damages: made by python3 tests/ground.py -->\n", "<!-- end of damages -->\n"
HEADINGS = ("damage", "store", "a look", "a write", "`doctor`", "what brings all back", "then")
SECRET = "somebody's own\n"
PAYLOADS = ('{"n":1}', '{"n":2}', '{"n":3}')
LOOKS = {"value": ["load-agent-state", "a", "k"], "messages": ["list-agent-messages", "a", "--json"],
         "record": ["read-milestone-record", "m"], "session": ["get-session-status", "s", "--json"]}
WRITES = (["save-agent-state", "a", "k", "new"], ["send-agent-message", "a", "a", "progress_update", "{}"],
          ["get-agent-messages", "a", "true"], ["update-milestone-record", "m", "title: New\n"],
          ["register-agent", "b", "validation", "m", "s"], ["log-storage-event", "tried", "m", "hybrid"])


class HandMoved(Clock):
    """A clock that stands where it was set."""

    seconds = 1767225600.0  # 2026-01-01

    def time(self):
        return self.seconds

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


class Damage:
    """One damage: its name, the backend of the store, and `do`, what does it to a scene.

    within: a context that surrounds every call, for what is no file
    harmless: nothing is wrong with it, so that nobody names it
    """

    def __init__(self, name, backend, do=None, within=None, harmless=False):
        self.name, self.backend, self.do, self.within, self.harmless = name, backend, do, within, harmless

    @contextlib.contextmanager
    def done(self, scene):
        if self.do:
            self.do(scene)
        with self.within(scene) if self.within else contextlib.nullcontext():
            yield


class Ground:
    """Stores below a folder, each a copy of one that is filled; `tried` and `named` count the damages done to them."""

    def __init__(self, folder):
        self.folder, self.filled, self.tried, self.named = Path(folder), {}, 0, 0

    def fill(self, backend):
        if backend not in self.filled:
            directory = self.filled[backend] = self.folder / f"filled-{backend}" / ".milestones"
            directory.parent.mkdir()
            scene = Scene(directory, backend)
            for words in (["register-agent", "a", "validation", "m", "s"], ["save-agent-state", "a", "k", "v"],
                          ["create-milestone-record", "m", "title: One\n"],
                          ["log-storage-event", "made", "m", "hybrid"],
                          ["create-milestone-record", "done", "title: Done\n"], ["delete-milestone-record", "done"],
                          *(["send-agent-message", "a", "a", "progress_update", payload] for payload in PAYLOADS),
                          ["get-agent-messages", "a", "true", "1"], ["acknowledge-agent-message", "a", "1"],
                          ["get-agent-messages", "a", "true", "1"], ["create-agent-checkpoint", "a"],
                          ["agent-heartbeat", "a", "healthy"], ["backup-coordination"]):
                status, _, err = scene.call(*words)
                assert status == 0, err
        return self.filled[backend]

    def copy(self, backend, name):
        target = self.folder / name / ".milestones"
        shutil.copytree(self.fill(backend), target, symlinks=True)
        (target.parent / "outside").write_text(SECRET)
        return Scene(target, backend)

    def try_damage(self, damage):
        """Do it, and tell what every call said; `wrong` of what is returned says what must not be so."""
        self.tried += 1
        looked, written = (self.copy(damage.backend, f"{self.tried}-{what}") for what in ("look", "write"))
        report = Report(damage)
        with damage.done(looked):
            report.look = report.note(looked, LOOKS.values())
            before = looked.read_files()
            report.note_doctor(looked)
            report.expect(looked.read_files() == before, "doctor has changed a file")
            report.bring_back(looked)
        with damage.done(written):
            report.write = report.note(written, WRITES)
        for scene in looked, written:
            outside = scene.directory.parent
            report.expect((outside / "outside").read_text() == SECRET, "a file outside was written")
            report.expect({path.name for path in outside.iterdir()} <= {".milestones", "outside", *scene.beside},
                          "a file was made outside")
            for folder, folders, _ in os.walk(outside):
                for name in folders:
                    os.chmod(Path(folder) / name, 0o700, follow_symlinks=True)
            shutil.rmtree(outside)
        report.expect(report.is_named != damage.harmless, "it is named, and does no harm" if report.is_named else
                      "nobody names it")
        self.named += report.is_named
        return report


class Scene:
    """One store, and command lines on it; `beside` names what a damage has put beside its directory.

    prefix: words before a command line, which then runs in a process of its own
    """

    def __init__(self, directory, backend):
        self.directory, self.clock, self.beside, self.prefix = directory, HandMoved(), set(), None
        self.environ = {"HOME": str(directory.parent), "PATH": os.environ["PATH"], "MILESTONE_DIR": str(directory),
                        **({} if directory.exists() else {"MILESTONE_BACKEND": backend})}

    def call(self, *words):
        """Status, what was printed, what was said on standard error."""
        if self.prefix is not None:
            done = subprocess.run([*self.prefix, sys.executable, "-I", "-S", PROGRAM, *words], capture_output=True,
                                  env=self.environ, input=b"", check=False, timeout=120)
            return done.returncode, done.stdout.decode(), done.stderr.decode()
        out, err = io.BytesIO(), io.BytesIO()
        status = main(list(words), Console(io.BytesIO(), out, err, self.environ, self.clock))
        return status, out.getvalue().decode(), err.getvalue().decode()

    def read_files(self):
        """Every file of the data directory with its bytes, but for what may come and go while others only look."""
        found = {}
        for folder, folders, names in os.walk(self.directory):
            for path in (Path(folder) / name for name in (*folders, *names)):
                if not path.name.endswith((".lock", ".queue", "-wal", "-shm", "-journal")):
                    found[str(path)] = os.readlink(path) if path.is_symlink() else _read(path)
        return found


def _read(path):
    try:
        return path.read_bytes() if path.is_file() else "no file"
    except OSError as error:
        return error.strerror


class Report:
    """What a damage led to: for a row of the table, and `wrong`, what must not be so."""

    def __init__(self, damage):
        self.damage, self.wrong, self.is_named = damage, [], False
        self.look = self.write = self.doctor = ""
        self.back = ("", "")

    def expect(self, is_so, what):
        if not is_so:
            self.wrong.append(what)

    def note(self, scene, calls):
        """The first refusal among some calls, or else a warning, as a cell; every one is one line and no trace."""
        results = [self._check(words, *scene.call(*words)) for words in calls]
        refused = [shorten(scene, line) for status, line in results if status]
        warned = [shorten(scene, line) for status, line in results if not status and line]
        self.is_named |= bool(refused or warned)
        if not refused:
            return f"done; {warned[0]}" if warned else "done"
        return refused[0] if len(refused) == len(results) else f"{refused[0]}; others go on"

    def _check(self, words, status, out, err):
        lines = err.splitlines()
        said = [line for line in lines if not line.startswith("milestone_persist: warning: ")]
        self.expect(status in (0, 1, 2, 3) and "internal error" not in err, f"{words}: status {status}, {err}")
        self.expect(all(line.startswith("milestone_persist: ") for line in lines), f"{words}: {err}")
        self.expect(not status or len(said) == 1 and not out, f"{words}: status {status}, {err} {out}")
        return status, said[-1] if status else next((line for line in lines if "warning" in line), "")

    def note_doctor(self, scene):
        status, out, err = scene.call("doctor")
        found = [line for line in out.splitlines() if line.startswith(("unsound: ", "unwritable: ", "note: "))]
        self.expect("internal error" not in err and err.count("\n") == bool(status), f"doctor: {status} {err}")
        self.is_named |= bool(status or found)
        self.doctor = shorten(scene, found[0]) if found else shorten(scene, err) if status else "sound"

    def bring_back(self, scene):
        """Try doctor --fix, then the backup there is: what has brought back what there was, and what is missing."""
        if self.doctor == "sound" and not list_lost(scene):
            self.back = ("nothing is needed", "all is there")
            return
        status, _, err = scene.call("doctor", "--fix")
        self.expect("internal error" not in err, f"doctor --fix: {status} {err}")
        way, is_sound, lost = "`doctor --fix`", status == 0, list_lost(scene)
        backups = sorted(scene.directory.glob("backups/????????-??????-????????.db"))
        if lost and backups:
            way, is_sound = "`restore_coordination`", self._check("restore", *scene.call(
                "restore-coordination", str(backups[0])))[0] == 0 and scene.call("doctor")[0] == 0
            lost = list_lost(scene)
        way = way if is_sound and not lost else "by hand, as is said"
        self.back = (way, "all is there" if not lost else "everything is as it was")

    def row(self):
        """The row of the table."""
        cells = (self.damage.name, self.damage.backend, self.look, self.write, self.doctor, *self.back)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def list_lost(scene):
    """What a reader does not find."""
    found = {what: scene.call(*words)[1] for what, words in LOOKS.items()}
    is_there = {"value": found["value"] == "v", "messages": found["messages"].count('"payload"') == len(PAYLOADS),
                "record": found["record"].startswith("title: One"),
                "session": '"session_id":"s"' in found["session"]}
    return [what for what, is_so in is_there.items() if not is_so]


def shorten(scene, text):
    """What a line says, without paths of this machine and what differs from run to run."""
    for path, name in ((scene.directory, ".milestones"), (scene.directory.parent, "…"), ("milestone_persist: ", ""),
                       ("warning: ", "")):
        text = text.replace(str(path), name)
    text = re.sub(r"(: )\.milestones[^ ]*: (?=\.milestones)", r"\1", text)
    text = re.sub(r" \((?:[^()]|\([^()]*\))*\)", "", text.splitlines()[0])
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]+|(?<=cp-)\d+-[0-9a-f]+", "…", text)
    text = re.split(r"; |: (?:Expecting|Extra|Invalid|JSONDecode|'utf-8'|[A-Z]\w+Error|unexpected)|, as '", text)[0]
    return text if len(text) <= 110 else text[:107] + "…"


def make_table(rows):
    """The table of the document."""
    return f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}\n{''.join(rows)}"


def read_table():
    """The rows of the table as it is committed."""
    table = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    return table.splitlines(keepends=True)[2:]


def write_table():
    """Try every damage, and write the table again."""
    sys.path.insert(0, str(ROOT / "tests" / "project"))
    from test_bad_ground import DAMAGES

    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(folder)
        reports = [ground.try_damage(damage) for damage in DAMAGES]
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + make_table(report.row() for report in reports) + END + rest.partition(END)[2])
    for report in reports:
        for line in report.wrong:
            print(f"{report.damage.name} ({report.damage.backend}): {line}")
    print(f"{ground.tried} damages tried, {ground.named} named")


if __name__ == "__main__":
    write_table()
