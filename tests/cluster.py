"""A throwaway PostgreSQL server: in a directory of its own, not as root, gone after the tests."""
from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import tempfile

from memory import find_memory

from milestone_persist.storage.postgresql.psql import find_psql

PASSWORD = "p@ss/w:rd %"
ENCODED = "p%40ss%2Fw%3Ard%20%25"


def find_program(name):
    """Where a program of the server is, which packages keep off the PATH; None if it is nowhere."""
    places = sorted(glob.glob("/usr/lib/postgresql/*/bin") + glob.glob("/opt/homebrew/opt/postgresql*/bin"))
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(reversed(places)))


class Cluster:
    """The server. Its Unix socket trusts everybody; its TCP port wants PASSWORD of the user `tester`."""

    def __init__(self):
        place = find_memory() or ("/tmp" if os.access("/tmp", os.W_OK) else None)  # a socket's path must be short
        self.home = tempfile.mkdtemp(prefix="pg", dir=place)
        self.data = os.path.join(self.home, "data")
        secret = os.path.join(self.home, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.home, secret):
                shutil.chown(path, "postgres", "postgres")
        # Ends the server and its files when its input ends: at close(), or however else the tests come to their end.
        self.guard = subprocess.Popen(["sh", "-c", 'trap "" INT TERM; read line; "$0" -D "$1" -m immediate stop; '
                                       'cd /; rm -rf "$2" 2>/dev/null', find_program("pg_ctl"), self.data, self.home],
                                      stdin=subprocess.PIPE, start_new_session=True, **self._options())
        self._run("initdb", "-D", self.data, "-U", "tester", "-E", "UTF8", "--locale=C", "--no-sync", "-A",
                  "scram-sha-256", "--auth-local=trust", "--pwfile", secret)
        self._start_on_a_free_port()
        self.url = f"postgresql://tester@/postgres?host={self.home}&port={self.port}"
        self.tcp_url = f"postgresql://tester:{ENCODED}@127.0.0.1:{self.port}/postgres"

    def _options(self):
        account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        return {"cwd": self.home, "stdout": subprocess.DEVNULL, **account}

    def _run(self, program, *words):
        subprocess.run([find_program(program), *words], check=True, stdin=subprocess.DEVNULL, timeout=120,
                       **self._options())

    def _start_on_a_free_port(self):
        for attempt in range(5):  # another process may have taken the port since
            self.port = _free_port()
            try:
                return self.start()
            except subprocess.CalledProcessError:
                if attempt == 4:
                    raise

    def start(self):
        self._run("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.home, "log"), "start", "-o",
                  f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off "
                  "-c max_connections=100 -c shared_buffers=32MB -c log_statement=none")

    def stop(self, how="immediate"):
        """Stop it at once, as a crash would, or `fast`: in order."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", how, "stop")

    def query(self, sql):
        """What psql prints for one statement, as the server's owner."""
        done = subprocess.run([find_psql(os.environ), "-XqAtd", self.url, "-v", "ON_ERROR_STOP=1", "-c", sql],
                              check=True, stdout=subprocess.PIPE, timeout=60)
        return done.stdout.decode().strip()

    def close(self):
        self.guard.communicate()
        shutil.rmtree(self.home, ignore_errors=True)  # which the server's account may not remove from every folder


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
