"""The live page's server: for this machine and who has its address, for looking only; it follows the store."""
from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import ROOT

from milestone_persist.view import server
from milestone_persist.view.source import Source

pytestmark = pytest.mark.filterwarnings("ignore::milestone_persist.MilestoneWarning")
SESSION = "validation-ms-1-1"
SECONDS = 30  # until what is waited for must be there: a limit, and no measure


@pytest.fixture
def backend():
    return "hybrid"


class Dashboard:
    """The running command, and requests to it."""

    def __init__(self, directory, environ, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(ROOT / "milestone_persist" / "__main__.py"), "--dir", str(directory),
             "dashboard", *words], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url, self.told = (self.process.stdout.readline().strip() for _ in range(2))
        found = urlsplit(self.url)
        self.host, self.port, self.path = found.hostname, found.port, found.path

    def ask(self, name="", method="GET", path=None, **headers):
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        try:
            connection.request(method, (self.path if path is None else path) + name, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def data(self, session=""):
        return json.loads(self.ask(f"data?session={session}")[2])

    def stream(self):
        """The lines of a stream of changes, as they come."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        connection.request("GET", self.path + "changes")
        answer = connection.getresponse()
        answer.connection = connection  # which closes with it
        return answer

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        more = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, *more


def next_change(stream):
    """Wait for a line that says that something has changed; False where the stream has ended."""
    while line := stream.readline():
        if line == b"data: changed\n":
            return True
    return False


@pytest.fixture
def serve(directory, environ):
    """Starts the command on the test's store: serve("--port", "0")."""
    running = []

    def serve(*words):
        running.append(Dashboard(directory, environ, *words))
        return running[-1]

    yield serve
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


@pytest.fixture
def team(store):
    for agent in ("a", "b"):
        store.register_agent(agent, "validation", "ms-1", SESSION)
    return store


def test_who_has_the_address_sees_the_page_and_nobody_else_does(team, serve):
    served = serve()
    status, headers, body = served.ask()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f"<h1><bdi>{SESSION}</bdi></h1>" in body
    for path in ("/", "/data", f"/{'x' * 32}/", served.path[:-3] + "x/", served.path + "../", "//", served.path * 2):
        assert served.ask(path=path)[0] == 404
    assert served.ask("secret")[0] == served.ask("data/x")[0] == 404
    assert len(served.path) > 30 and served.path != serve().path


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Host": "127.0.0.1.evil.example:{port}"}, {"Host": ""},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_another_site_or_another_name_gets_nothing(team, serve, headers):
    served = serve()
    headers = {name: value.replace("{port}", str(served.port)) for name, value in headers.items()}
    for name in ("", "data", "changes"):
        status, _, body = served.ask(name, **headers)
        assert (status, body) == (403, "403 Forbidden\n")


def test_our_own_page_and_the_name_localhost_are_let_in(team, serve):
    served = serve()
    own = f"http://127.0.0.1:{served.port}"
    assert served.ask("data", Origin=own, **{"Sec-Fetch-Site": "same-origin"})[0] == 200
    assert served.ask(Host=f"localhost:{served.port}")[0] == 200


def test_a_link_that_a_person_follows_is_let_in_and_a_frame_is_not(team, serve):
    served = serve()
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert served.ask(**visit)[0] == 200
    for other in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Dest": "script"}):
        assert served.ask(**{**visit, **other})[0] == 403


def test_a_browser_is_opened_without_showing_the_secret_to_other_users(team, serve, environ, tmp_path):
    (tmp_path / "browser").write_text(f'#!/bin/sh\nprintf %s "$1" > "{tmp_path}/shown.part"\n'
                                      f'mv "{tmp_path}/shown.part" "{tmp_path}/shown"\n')
    (tmp_path / "browser").chmod(0o755)
    environ.update(BROWSER=f"'{tmp_path}/browser' %s", TMPDIR=str(tmp_path))
    served = serve("--open")
    wait_until((tmp_path / "shown").exists)
    shown = (tmp_path / "shown").read_text()
    link = Path(shown.removeprefix("file://"))
    assert served.path.strip("/") not in shown and served.url in link.read_text()
    assert link.stat().st_mode & 0o777 == 0o600
    assert served.end() == (0, "", "") and not link.exists()


def test_it_listens_on_this_machine_only(team, serve):
    served = serve()
    with open("/proc/net/tcp") as file:
        listening = [line.split()[1] for line in file if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(f":{served.port:04X}")] == [f"0100007F:{served.port:04X}"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(team, serve, dump, method):
    before = dump()
    status, headers, _ = serve().ask(method=method)
    assert status == 501 and "Access-Control-Allow-Origin" not in headers
    assert dump() == before


def test_every_answer_has_strict_headers(team, serve):
    served = serve()
    for name in ("", "data", "changes?", "no"):
        _, headers, _ = served.ask(name, method="HEAD")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"], headers["Cache-Control"]) == (
            "nosniff", "no-referrer", "no-store")
        assert "Access-Control-Allow-Origin" not in headers and "Python" not in headers["Server"]


def test_looking_leaves_no_trace_in_the_store(team, serve, dump):
    before = dump()
    served = serve()
    stream = served.stream()
    assert stream.readline() == b"data: begin\n"
    served.ask()
    served.data()
    assert dump() == before


def test_a_change_by_another_process_is_told_and_is_in_the_data(team, serve, program, directory):
    served = serve()
    stream = served.stream()
    stream.readline()
    done = program("--dir", directory, "send_agent_message", "a", "b", "x-note", '{"text": "new"}')
    assert done.status == 0
    assert next_change(stream)
    assert [row[4] for row in served.data(SESSION)["tables"]["messages"]] == ["x-note"]  # told, it is there at once


def test_sessions_can_be_chosen_and_one_that_is_not_there_is_said_to_be_so(team, serve, clock):
    clock.advance(1)
    team.register_agent("z", "validation", "ms-1", "validation-ms-2-1")
    served = serve()
    assert "<h1><bdi>validation-ms-2-1</bdi></h1>" in served.ask()[2]
    assert served.data(SESSION)["tables"]["session"] == SESSION
    assert "no session 'none'" in served.data("none")["error"]
    status, _, body = served.ask("?session=%3Cscript%3E")
    assert status == 404 and "&lt;script&gt;" in body and "<script>" not in body


def test_before_there_is_a_store_the_page_waits_for_one(serve, store, directory):
    store.close()
    shutil.rmtree(directory)
    served = serve()
    assert "No sessions yet" in served.ask()[2]
    assert not directory.exists()


def test_a_store_that_moves_is_followed(team, serve, cli):
    served = serve()
    stream = served.stream()
    stream.readline()
    assert cli("migrate-storage-backend", "file", MILESTONE_BACKEND="").status == 0
    cli("log-milestone-event", "moved", MILESTONE_BACKEND="", SESSION_ID=SESSION)
    wait_until(lambda: "moved" in [row[2] for row in served.data(SESSION)["tables"]["events"]])
    assert next_change(stream)
    # The stream has told of it when what follows the answer to a later ping is a change again.
    while stream.readline() != b": here\n":
        pass
    cli("log-milestone-event", "later", MILESTONE_BACKEND="", SESSION_ID=SESSION)
    assert next_change(stream)


def test_a_store_that_is_made_anew_is_followed(team, serve, connect, directory):
    served = serve()
    assert served.data()["tables"]["session"] == SESSION
    stream = served.stream()
    stream.readline()
    team.close()
    shutil.rmtree(directory)
    connect().register_agent("n", "validation", "ms-2", "validation-new")
    wait_until(lambda: served.data().get("tables", {}).get("session") == "validation-new")
    assert next_change(stream)


def test_a_store_that_is_restored_is_followed(team, serve, cli, tmp_path):
    cli("backup-coordination", tmp_path / "backup.db")
    team.save_agent_state("a", "later", "1")
    served = serve()
    assert [row[1] for row in served.data(SESSION)["tables"]["state"]] == ["later"]
    stream = served.stream()
    stream.readline()
    assert cli("restore-coordination", tmp_path / "backup.db").status == 0
    assert next_change(stream)
    assert served.data(SESSION)["tables"]["state"] == []


def wait_until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_several_readers_see_what_writers_write_meanwhile(team, serve, connect):
    served = serve()
    streams = [served.stream() for _ in range(5)]
    failed = []

    def write(agent):
        try:
            store = connect()
            for number in range(40):
                store.save_agent_state(agent, f"k-{number}", "v")
        except Exception as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(agent,)) for agent in "ab"]
    for writer in writers:
        writer.start()
    assert all(next_change(stream) for stream in streams)
    counts = [len(served.data(SESSION)["tables"]["state"]) for _ in range(3)]
    for writer in writers:
        writer.join()
    assert failed == [] and counts == sorted(counts)
    wait_until(lambda: len(served.data(SESSION)["tables"]["state"]) == 80)  # an answer may be that of a moment ago


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_with_status_0_and_ends_its_streams(team, serve, number):
    served = serve()
    stream = served.stream()
    stream.readline()
    assert (served.told, served.end(number)) == ("Ctrl-C ends it", (0, "", ""))
    assert not next_change(stream)


def test_a_port_that_is_in_use_is_refused_in_one_line(team, serve, program, directory):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = program("--dir", directory, "dashboard", "--port", taken.getsockname()[1])
    assert done.status == 1 and done.err.count("\n") == 1 and "name another" in done.err
    assert program("--dir", directory, "dashboard", "--port", "99999").status == 2


@pytest.mark.parametrize("line, status", [
    ("OPTIONS / HTTP/1.1", 501), ("<b> / HTTP/1.1", 501), ("GET http://[x/ HTTP/1.1", None), ("GET / HTTP/9.9", 505),
    ("GET /" + "a" * 70_000 + " HTTP/1.1", 414), ("GET / HTTP/1.1\r\nX: " + "a" * 70_000, 431),
    ("GET / HTTP/1.1" + "\r\nX: <b>" * 200, 431), ("a b c d <b>", 400)])
def test_what_is_no_request_is_refused_like_all_else(team, serve, line, status):
    served = serve()
    with socket.create_connection((served.host, served.port), SECONDS) as connection:
        connection.sendall(f"{line}\r\nHost: {served.host}:{served.port}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
    assert answer.status in ((400, 404) if status is None else (status,)) and b"<" not in body
    assert answer.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
    assert served.ask()[0] == 200


@pytest.fixture
def serving(monkeypatch):
    """A server in this process, which has few seconds and few connections."""
    monkeypatch.setattr(server, "READ_SECONDS", 0.2)
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    serving = server.Server(Source(lambda session: (None, [])))
    thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
    thread.start()
    yield serving
    serving.shutdown()
    serving.server_close()
    thread.join()


def test_a_request_that_comes_in_byte_by_byte_is_given_up(serving):
    with socket.create_connection((server.HOST, serving.port), 0.02) as slow:
        until, is_over = time.monotonic() + SECONDS, False
        while not is_over and time.monotonic() < until:
            try:
                slow.sendall(b"G")
                is_over = slow.recv(1000) is not None
            except socket.timeout:  # it is still waited for
                pass
            except OSError:
                is_over = True
    assert is_over


def test_whoever_is_one_too_many_is_not_answered(serving, monkeypatch):
    monkeypatch.setattr(server, "READ_SECONDS", SECONDS)
    held = [socket.create_connection((server.HOST, serving.port), SECONDS) for _ in range(2)]
    with socket.create_connection((server.HOST, serving.port), SECONDS) as third:
        assert third.recv(1) == b""
    for connection in held:
        connection.sendall(b"rubbish\r\n\r\n")
        assert b"400" in connection.recv(100)
        connection.close()


def test_a_reader_that_sends_rubbish_or_nothing_harms_nobody(team, serve):
    served = serve()
    for rubbish in (b"\x00\xff\r\n\r\n", b"GET /\r\n", b"G" * 70_000, b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection((served.host, served.port), SECONDS) as connection:
            try:
                connection.sendall(rubbish)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
            except OSError:
                pass
    silent = [socket.create_connection((served.host, served.port), SECONDS) for _ in range(20)]
    assert served.ask()[0] == 200
    for connection in silent:
        connection.close()
    assert served.end() == (0, "", "")


def test_more_streams_than_are_useful_are_refused(team, serve):
    served = serve()
    streams = [served.stream() for _ in range(33)]
    assert [stream.status for stream in streams].count(503) == 1
    assert served.ask()[0] == 200
