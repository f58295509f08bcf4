"""The official client of MCP (`mcp` of PyPI) on a server: official_client.py COMMAND… prints what each mode got.

It runs in the environment in which that client is installed, not in that of the tests.
"""
from __future__ import annotations

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters

AGENT = {"agent_id": "exec-ms-1-1", "agent_type": "milestone-executor", "milestone_id": "ms-1",
         "session_id": "execution-ms-1-1"}


async def play(mode, command):
    server = StdioServerParameters(command=command[0], args=command[1:])
    async with Client(server, mode=mode) as client:
        listed = await client.list_tools()
        registered = await client.call_tool("register_agent", AGENT)
        sent = await client.call_tool("send_agent_message", {
            "from_agent": "exec-ms-1-1", "to_agent": "exec-ms-1-1", "message_type": "task_assignment",
            "payload": {"phase": "design"}})
        taken = await client.call_tool("get_agent_messages", {"agent_id": "exec-ms-1-1", "take": True, "wait": 5})
        missing = await client.call_tool("load_agent_state", {"agent_id": "exec-ms-1-1", "state_key": "none"})
        resources = await client.list_resources()
        templates = await client.list_resource_templates()
        report = await client.read_resource("milestone://sessions/execution-ms-1-1/report")
        return {
            "version": client.protocol_version, "tools": [tool.name for tool in listed.tools],
            "instructions": bool(client.instructions), "registered": registered.content[0].text,
            "sent": sent.structured_content, "taken": taken.structured_content["result"][0]["payload"],
            "missing": [missing.is_error, missing.content[0].text],
            "resources": [str(resource.uri) for resource in resources.resources],
            "templates": len(templates.resource_templates), "report": report.contents[0].text}


print(json.dumps({mode: asyncio.run(play(mode, sys.argv[1:])) for mode in ("auto", "legacy", "2026-07-28")}))
