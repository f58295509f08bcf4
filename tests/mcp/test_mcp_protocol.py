"""The protocol itself: both eras, versions, what is malformed, batches, the order of answers, the end."""
from __future__ import annotations

import io
import json

import pytest
from mcp_wire import META, PREFIX, said

from milestone_persist.mcp.calling import Surroundings
from milestone_persist.mcp.protocol import LEGACY, LONGEST_LINE, MODERN
from milestone_persist.mcp.server import Server
from milestone_persist.mcp.tools import choose_tools


@pytest.fixture
def backend():
    return "hybrid"


def opening(version):
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


@pytest.mark.parametrize("version", LEGACY)
def test_initialize_chooses_each_of_the_earlier_revisions(wire, version):
    answer = wire.ask("initialize", opening(version))
    assert answer["protocolVersion"] == version and answer["serverInfo"]["name"] == "milestone"
    assert answer["capabilities"] == {"tools": {}, "resources": {}} and answer["instructions"]
    wire.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert wire.ask("ping") == {}
    listed = wire.ask("tools/list")
    assert "resultType" not in listed and "ttlMs" not in listed and listed["tools"]


@pytest.mark.parametrize("version", ["2026-07-28", "2030-01-01", "1.0", ""])
def test_initialize_with_an_unknown_revision_is_answered_with_the_newest_that_has_it(wire, version):
    assert wire.ask("initialize", opening(version))["protocolVersion"] == LEGACY[-1]


def test_initialize_without_a_revision_is_refused(wire):
    assert wire.ask("initialize", {})["code"] == -32602
    assert wire.ask("initialize", {"protocolVersion": 7})["code"] == -32602


def test_discover_tells_what_a_client_without_initialize_needs(wire):
    answer = wire.now("server/discover")
    assert answer["resultType"] == "complete" and answer["supportedVersions"] == [*MODERN]
    assert answer["_meta"][PREFIX + "serverInfo"]["name"] == "milestone"
    assert answer["capabilities"] == {"tools": {}, "resources": {}} and answer["instructions"]
    assert answer["ttlMs"] >= 0 and answer["cacheScope"] in ("public", "private")


@pytest.mark.parametrize("version", ["2025-11-25", "2099-01-01", "v999.0.0", ""])
@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call", "no/such"])
def test_an_unknown_revision_of_a_request_is_answered_with_those_of_discover(wire, method, version):
    error = wire.ask(method, {"_meta": {**META, PREFIX + "protocolVersion": version}})
    known = wire.now("server/discover")["supportedVersions"]
    assert error["code"] == -32022 and error["data"] == {"supported": known, "requested": version}


@pytest.mark.parametrize("params", [
    None, {}, {"_meta": {}}, {"_meta": {PREFIX + "clientCapabilities": {}}},
    {"_meta": {PREFIX + "protocolVersion": "2026-07-28"}}, {"_meta": {**META, PREFIX + "clientCapabilities": 7}},
    {"_meta": {**META, PREFIX + "protocolVersion": 7}}, {"_meta": 7}])
@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call", "resources/read"])
def test_a_request_that_names_no_revision_is_refused(wire, method, params):
    assert wire.ask(method, params)["code"] == -32602


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe",
                                    "resources/unsubscribe", "prompts/list", "completion/complete", "no/such"])
def test_what_a_revision_does_not_have_is_no_method(wire, method):
    assert wire.now(method, opening("2026-07-28"))["code"] == -32601


@pytest.mark.parametrize("method", ["server/discover", "subscriptions/listen", "prompts/list", "no/such"])
def test_nor_has_an_earlier_revision_a_later_ones_methods(wire, method):
    wire.ask("initialize", opening(LEGACY[-1]))
    assert wire.ask(method)["code"] == -32601


def test_one_process_serves_both_eras(wire):
    wire.ask("initialize", opening("2024-11-05"))
    assert "resultType" not in wire.ask("tools/list")
    assert wire.now("tools/list")["resultType"] == "complete"
    assert "resultType" not in wire.ask("tools/call", {"name": "whoami", "arguments": {}})


def test_every_result_of_the_new_era_says_what_it_is(wire):
    for method, params in (("tools/list", {}), ("resources/list", {}), ("resources/templates/list", {}),
                           ("resources/read", {"uri": "milestone://sessions"})):
        result = wire.now(method, params)
        assert result["resultType"] == "complete" and result["ttlMs"] >= 0, method
        assert result["cacheScope"] == ("public" if "tools" in result or "resourceTemplates" in result else "private")
    result = wire.call("whoami")
    assert result["resultType"] == "complete" and "ttlMs" not in result


@pytest.mark.parametrize("line", [
    b"nonsense", b"{", b'{"jsonrpc":"2.0","id":1,"method":', b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
    b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b'."method":"ping"}', b"\0"])
def test_a_line_that_is_no_json_is_answered_without_an_id(wire, line):
    wire.send(line + b"\n")
    answer = wire.read()
    assert answer["error"]["code"] == -32700 and "id" not in answer
    assert wire.ask("ping") == {}


@pytest.mark.parametrize("message, code, known", [
    (7, -32600, None), ("ping", -32600, None), (None, -32600, None), ([], -32600, None), ([1], -32600, None),
    ({"id": 1, "method": "ping"}, -32600, 1), ({"jsonrpc": "1.0", "id": "a", "method": "ping"}, -32600, "a"),
    ({"jsonrpc": "2.0", "id": 1}, -32600, 1), ({"jsonrpc": "2.0", "id": 1, "method": 7}, -32600, 1),
    ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600, None),
    ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, -32600, None),
    ({"jsonrpc": "2.0", "id": True, "method": "ping"}, -32600, None),
    ({"jsonrpc": "2.0", "id": [1], "method": "ping"}, -32600, None),
    ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, -32602, 1),
    ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": False}, -32602, 1),
    ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": "x"}, -32602, 1)])
def test_what_is_no_request_is_refused(wire, message, code, known):
    wire.send(message)
    answer = wire.read()
    assert answer["error"]["code"] == code and answer.get("id") == known
    assert wire.ask("ping") == {}


@pytest.mark.parametrize("message", [
    {"jsonrpc": "2.0", "method": "notifications/initialized"}, {"jsonrpc": "2.0", "method": "no/such"},
    {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "register_agent"}},
    {"jsonrpc": "2.0", "method": "notifications/cancelled"},
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}},
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": {}}},
    {"jsonrpc": "2.0", "id": 9, "result": {}}, {"jsonrpc": "2.0", "id": 9, "error": {"code": 1, "message": ""}}])
def test_what_asks_for_no_answer_gets_none(wire, message):
    wire.send(message)
    wire.send(b"\n \r\n")
    assert wire.ask("ping") == {}


@pytest.mark.parametrize("named", [[1], {}, {"a": [1]}, None, 1.5, True])
def test_what_is_no_id_cancels_nothing_while_others_are_under_way(wire, named):
    wire.begin("subscriptions/listen", {"notifications": {}, "_meta": META}, "1")
    assert "acknowledged" in wire.read()["method"]
    wire.cancel(named)
    assert wire.ask("ping") == {}
    wire.close()
    assert wire.read()["id"] == "1"


@pytest.mark.parametrize("method, params", [
    ("tools/call", {"name": "x" * 100_000}), ("m" * 100_000, {}), ("resources/read", {"uri": "x" * 100_000}),
    ("tools/call", {"name": ["x" * 100_000]}), ("tools/call", {"name": "whoami", "arguments": {"x" * 100_000: 1}}),
    ("tools/list", {"_meta": {**META, PREFIX + "protocolVersion": "x" * 100_000}})])
def test_a_refusal_does_not_repeat_a_long_text(wire, method, params):
    assert len(json.dumps(wire.ask(method, {"_meta": META, **params}))) < 10_000


def test_ids_come_back_as_they_are(wire):
    for request_id in (0, -1, 2 ** 70, "", "1", "ü\n\ud800"):
        wire.begin("ping", request_id=request_id)
        assert wire.read() == {"jsonrpc": "2.0", "id": request_id, "result": {}}


def test_params_may_be_null(wire):
    wire.send({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None})
    assert wire.read()["result"] == {}


def test_a_fault_of_the_program_is_an_answer(wire, monkeypatch):
    monkeypatch.setattr("milestone_persist.mcp.methods.describe_tool", lambda op, environ: 1 // 0)
    assert wire.now("tools/list")["code"] == -32603
    assert wire.ask("ping") == {}


def test_lines_may_end_as_on_windows(wire):
    wire.send(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n')
    assert wire.read()["result"] == {}


def test_a_line_that_is_too_long_is_left_out_and_the_next_is_read(environ, clock):
    line = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"x" * LONGEST_LINE + b'"}}\n'
    source, target = io.BytesIO(line + b'{"jsonrpc":"2.0","id":2,"method":"ping"}\n'), io.BytesIO()
    Server(source, target, choose_tools("core"), Surroundings("", environ, clock)).serve()
    first, second = map(json.loads, target.getvalue().splitlines())
    assert first["error"]["code"] == -32600 and "id" not in first
    assert second == {"jsonrpc": "2.0", "id": 2, "result": {}}


def test_a_batch_of_the_one_revision_that_has_them_is_answered_as_one(wire):
    wire.ask("initialize", opening("2025-03-26"))
    call = {"name": "whoami", "arguments": {}}
    wire.send([{"jsonrpc": "2.0", "id": "a", "method": "ping"}, {"jsonrpc": "2.0", "method": "notifications/x"}, 7,
               {"jsonrpc": "2.0", "id": "b", "method": "tools/call", "params": call},
               {"jsonrpc": "2.0", "id": "c", "method": "initialize", "params": opening("2025-03-26")}])
    answers = {answer.get("id"): answer for answer in wire.read()}
    assert answers["a"]["result"] == {} and answers["b"]["result"]["isError"] is False
    assert answers["c"]["error"]["code"] == answers[None]["error"]["code"] == -32600 and len(answers) == 4
    wire.send([{"jsonrpc": "2.0", "method": "notifications/x"}])
    wire.send([])
    assert wire.read()["error"]["code"] == -32600
    assert wire.ask("ping") == {}


@pytest.mark.parametrize("version", [version for version in LEGACY if version != "2025-03-26"])
def test_other_revisions_have_no_batches(wire, version):
    wire.ask("initialize", opening(version))
    wire.send([{"jsonrpc": "2.0", "id": 1, "method": "ping"}])
    answer = wire.read()
    assert answer["error"]["code"] == -32600 and "id" not in answer


@pytest.mark.parametrize("method", ["tools/list", "resources/list", "resources/templates/list"])
def test_a_cursor_that_was_never_given_out_is_refused(wire, method):
    assert wire.now(method, {"cursor": "x"})["code"] == -32602
    assert "code" not in wire.now(method, {"cursor": None})


@pytest.mark.parametrize("params", [
    {}, {"name": 7}, {"name": "no_such", "arguments": {}}, {"name": "whoami", "arguments": []},
    {"name": "whoami", "arguments": "{}"}, {"name": "install", "arguments": {}}, {"name": "mcp", "arguments": {}}])
def test_a_call_of_no_tool_is_an_error_of_the_protocol(wire, params):
    assert wire.now("tools/call", params)["code"] == -32602


def test_a_tool_that_is_not_offered_says_how_it_would_be(serve):
    error = serve(tools="core").now("tools/call", {"name": "search_milestones", "arguments": {"term": "x"}})
    assert error["code"] == -32602 and "mcp --tools core,search_milestones" in error["message"]


@pytest.mark.parametrize("name, end", [
    ("registerAgent", "did you mean register_agent?"), ("register-agent", "did you mean register_agent?"),
    ("send_message", "did you mean send_agent_message?"), ("inbox", "did you mean get_agent_messages?"),
    ("mcp__milestone__register_agent", "did you mean register_agent?"), ("zzz", "tools/list names those there are"),
    ("AbandonSession", "mcp --tools core,abandon_session)"), ("watch", " watch"), ("install", " install")])
def test_a_tool_that_is_not_offered_is_told_by_what_can_be_done(serve, name, end):
    """What is no tool is not said to be one, for a server that was started so would refuse."""
    message = serve(tools="core").now("tools/call", {"name": name})["message"]
    assert message.startswith(f"Unknown tool: {name}") and message.endswith(end)
    assert ("--tools" in message) == ("--tools" in end)


def test_arguments_may_be_left_out(wire):
    assert wire.now("tools/call", {"name": "whoami"})["isError"] is False


def test_calls_are_carried_out_in_the_order_in_which_they_came(wire):
    for number in range(40):
        wire.begin_call("save_agent_state", agent_id="a", state_key="k", value=str(number))
    wire.begin_call("load_agent_state", agent_id="a", state_key="k")
    answers = [wire.read() for _ in range(41)]
    assert [answer["id"] for answer in answers] == [*range(1, 42)]
    assert said(answers[-1]["result"]) == ["39"]


def test_what_was_asked_before_the_end_is_answered(serve):
    wire = serve()
    asked = [wire.begin_call("save_agent_state", agent_id="a", state_key="k", value=str(n)) for n in range(20)]
    assert [answer["id"] for answer in wire.end()] == asked


def test_a_stream_of_notifications_is_acknowledged_and_ends_with_the_server(serve):
    wire = serve()
    assert wire.now("subscriptions/listen")["code"] == -32602
    asked = wire.begin("subscriptions/listen", {"_meta": META, "notifications": {"toolsListChanged": True}})
    begun = wire.read()
    assert begun["method"] == "notifications/subscriptions/acknowledged" and "id" not in begun
    assert begun["params"] == {"_meta": {PREFIX + "subscriptionId": asked}, "notifications": {}}
    other = wire.begin("subscriptions/listen", {"_meta": META, "notifications": {}})
    assert wire.read()["params"]["_meta"] == {PREFIX + "subscriptionId": other}
    wire.cancel(other)
    assert wire.ask("ping") == {}
    ended, = wire.end()
    assert ended["id"] == asked and ended["result"]["_meta"][PREFIX + "subscriptionId"] == asked
