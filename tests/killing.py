"""A copy of this process that is killed, as by kill -9, at its n-th statement, change of a file or sync."""
from __future__ import annotations

import os
import signal
import sqlite3

CHANGES = ("replace", "link", "mkdir", "unlink", "fsync", "write")


def run_until(number, work):
    """Run `work`, which returns a status, in a copy that is killed at the n-th of these: its status, or -9."""
    child = os.fork()
    if not child:
        status = 70
        try:
            _count_down(number)
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _count_down(left):
    def counted(call):
        def count(*args, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)
        return count

    class Cursor(sqlite3.Cursor):
        execute = counted(sqlite3.Cursor.execute)

    class Connection(sqlite3.Connection):
        backup = counted(sqlite3.Connection.backup)

        def cursor(self, factory=Cursor):
            return super().cursor(factory)

        def execute(self, *given):
            return self.cursor().execute(*given)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)
    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
