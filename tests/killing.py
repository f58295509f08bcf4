"""A command line that kills itself at the n-th statement, change of a file or sync."""
CHILD = """
import os, signal, sqlite3, sys
left = int(sys.argv[1])

def count(call):
    def counted(*args, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return counted

class Cursor(sqlite3.Cursor):
    execute = count(sqlite3.Cursor.execute)

class Connection(sqlite3.Connection):
    backup = count(sqlite3.Connection.backup)
    def cursor(self, factory=Cursor):
        return super().cursor(factory)
    def execute(self, *given):
        return self.cursor().execute(*given)

connect = sqlite3.connect
sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)
for name in ("replace", "link", "mkdir", "unlink", "fsync", "write"):
    setattr(os, name, count(getattr(os, name)))
sys.argv[:2] = ["milestone_persist"]
from milestone_persist.cli.process import run
run()
"""
