"""One `psql` child process, and its protocol: statements in, one JSON object for each row out."""
from __future__ import annotations

import os
import re
import select
import signal

from ...base.errors import StorageError
from .prepared import Prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .text import Filled

PROGRAM = "psql"
ANSWER_SECONDS = 90.0  # longer than the server's own limits: only a psql or a network that hangs comes to it
QUIT_TIMEOUT = 2.0
SHOWS_ALL = 150_000  # since this version
_BLOCK = 1 << 16  # what a pipe holds
_LAST_LINE = 40  # how long it is: the delimiter and a SQLSTATE
_ROW = re.compile(rb"^\d*\{.*", re.MULTILINE)  # a JSON object, perhaps with digits before it


class Failed(Exception):
    """The server refused a statement: (SQLSTATE, message)."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(state, message)
        self.state, self.message = state, message


class Lost(Exception):
    """The connection is lost: psql's message."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Psql:
    """A connection. The child leads its own process group, so that Ctrl-C in a terminal reaches only us."""

    def __init__(self, url: str, variables: Mapping[str, str]) -> None:
        """Start psql on `url`, which contains no password, with the environment `variables`; sends nothing yet."""
        self.pid, self.owner, self.busy = 0, os.getpid(), False
        self.version = 0  # of this psql; one before SHOWS_ALL gives the rows of the last of several statements only
        self._prepared = Prepared()
        self.delimiter = os.urandom(12).hex().encode()
        self._end = f"\n\\echo {self.delimiter.decode()} :SQLSTATE\n"
        program = find_psql(variables)
        command = [program, "-XqAtw", "-v", "VERBOSITY=terse", "-d", url]
        (its_input, self.input), (self.output, its_output) = _pipe(), _pipe()
        os.set_blocking(self.input, False)
        self._poll = select.poll()
        self._poll.register(self.output, select.POLLIN)
        try:
            self.pid = os.posix_spawn(program, command, dict(variables), setpgroup=0, file_actions=[
                (os.POSIX_SPAWN_DUP2, its_input, 0), (os.POSIX_SPAWN_DUP2, its_output, 1),
                (os.POSIX_SPAWN_DUP2, its_output, 2)])
        except OSError as error:
            self._close_pipes()
            raise StorageError(f"cannot start {program} ({error.strerror}): install postgresql-client") from None
        finally:
            os.close(its_input)
            os.close(its_output)

    def ask(self, statements: str) -> list[bytes]:
        """Run statements, each with its semicolon; the rows, a JSON object each. Raises Failed (of the last) or Lost.

        Whatever else interrupts it (Ctrl-C) ends the child, and with it what the server was doing.
        """
        answer = self._converse(statements)
        state = answer.rsplit(None, 1)[-1].decode()
        if state == "00000":
            return _ROW.findall(answer)
        if len(state) != 5:
            self.stop()
            raise StorageError("this psql is too old: install postgresql-client 11 or newer")
        text = self._converse("\\echo :LAST_ERROR_MESSAGE").rpartition(self.delimiter)[0]
        raise Failed(state, " ".join(text.decode(errors="replace").split()))

    def ask_all(self, before: Sequence[str | Filled], asked: Sequence[Filled],
                after: Sequence[str] = ()) -> list[list[bytes]]:
        """Run statements in one round trip; the rows of each query. No statement runs after one that fails."""
        if self._prepared.begins_anew() and self.pid:
            self.write(memoryview(b"DEALLOCATE ALL;\n"))
        first = [each if isinstance(each, str) else self._prepared.write(each) for each in before]
        rows = self._prepared.write_all(asked)
        found: list[list[bytes]] = [[] for _ in asked]
        try:
            for line in (self.ask("\\; ".join([*first, *rows, *after]) + ";") if self.version >= SHOWS_ALL
                         else self._ask_each(first, rows, after)):
                tag = line.index(b"{")
                found[int(line[:tag])].append(line[tag:])
        except Failed:
            self._prepared.forget()
            raise
        return found

    def _ask_each(self, before: Sequence[str], rows: Sequence[str], after: Sequence[str]) -> Iterator[bytes]:
        if before:
            self.ask("\\; ".join(before) + ";")
        for text in rows:
            yield from self.ask(text + ";")
        if after:
            self.ask("\\; ".join(after) + ";")

    def tell(self, statement: str) -> None:
        """Send a statement whose answer is not needed; it runs before the next one."""
        self.write(memoryview(statement.encode() + b";\n"))

    def _converse(self, text: str) -> bytes:
        """Send text; the answer, the last line of which is the delimiter with the SQLSTATE."""
        self.busy = True
        try:
            answer = self.exchange((text + self._end).encode())
            self.busy = False
        finally:
            if self.busy:
                self.stop()
        return answer

    def exchange(self, request: bytes) -> bytes:
        """Send a request and wait for what psql prints, up to the delimiter: one round trip. Lost if psql has ended."""
        if not self.pid:
            raise Lost("the connection was closed")
        rest, answer = self.write(memoryview(request)), bytearray()
        if rest:
            self._poll.register(self.input, select.POLLOUT)
        while not (answer.endswith(b"\n") and self.delimiter in answer[-_LAST_LINE:]):
            ready = self._poll.poll(ANSWER_SECONDS * 1000)
            if not ready:
                raise Lost(f"no answer for {ANSWER_SECONDS:.0f} s")
            for descriptor, _ in ready:
                if descriptor == self.output:
                    block = os.read(self.output, _BLOCK)
                    answer += block
                    if not block:
                        raise Lost(_ROW.sub(b"", answer).decode(errors="replace").strip() or "psql ended")
                else:
                    rest = self.write(rest)
                    if not rest:
                        self._poll.unregister(self.input)
        return bytes(answer)

    def write(self, rest: memoryview) -> memoryview:
        """Write a part; returns the rest. If psql has exited, nothing is left: reading will show why."""
        try:
            return rest[os.write(self.input, rest[:_BLOCK]):]
        except BlockingIOError:
            return rest
        except BrokenPipeError:
            return rest[:0]

    def stop(self) -> None:
        """End the child; an unfinished transaction is rolled back. Stopping again does nothing."""
        pid, self.pid = self.pid, 0
        if not pid:
            return
        if self.owner == os.getpid():  # a forked process must not end what is its parent's
            if self.busy:
                _send(pid, signal.SIGINT)  # psql has the server cancel the statement
            else:
                self.write(memoryview(b"\\q\n"))
            os.close(self.input)
            self.input = -1
            if not self._has_ended():
                _send(pid, signal.SIGKILL)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
        self._close_pipes()

    def _has_ended(self) -> bool:
        """Wait for the end of psql's output."""
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        while poll.poll(QUIT_TIMEOUT * 1000):
            if not os.read(self.output, _BLOCK):
                return True
        return False

    def _close_pipes(self) -> None:
        for descriptor in (self.input, self.output):
            if descriptor >= 0:
                os.close(descriptor)
        self.input = self.output = -1

    def __del__(self) -> None:
        self.stop()


def find_psql(variables: Mapping[str, str]) -> str:
    """The psql selected by these variables; StorageError if there is none.

    Folders of PATH that do not begin at the root are left out: they lead into whatever repository one has gone to.
    What Debian puts into the PATH is a Perl script that costs four times what the psql does which it calls.
    """
    for folder in os.get_exec_path(variables):
        path = os.path.join(folder, PROGRAM)
        if not (os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK)):
            continue
        if os.path.basename(os.path.realpath(path)) != "pg_wrapper" or "PGCLUSTER" in variables:
            return path
        import glob

        return max(glob.glob("/usr/lib/postgresql/*/bin/psql"), key=_version_in, default=path)
    raise StorageError("psql is missing, and PostgreSQL is reached through it: install postgresql-client")


def _version_in(path: str) -> list[int]:
    """The version in the path of one of Debian's; what is not named after one comes before all."""
    return [int(part) if part.isdecimal() else -1 for part in path.split("/")[4].split(".")]


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _pipe() -> tuple[int, int]:
    """A pipe with both ends above the standard streams, which this process may have closed."""
    ends = os.pipe()
    if min(ends) > 2:
        return ends
    import fcntl

    moved = fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 3), fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 3)
    for end in ends:
        os.close(end)
    return moved
