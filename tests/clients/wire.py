"""What the requests and answers of three model APIs look like: Anthropic Messages, OpenAI Responses, Gemini."""
from __future__ import annotations

import json
import time
from typing import NamedTuple

_MODEL_TURN = ("function_call", "custom_tool_call", "local_shell_call", "reasoning")  # items of OpenAI Responses


class Said(NamedTuple):
    """What a request says: the user's text, how many turns the model had, the results of its latest calls, the tools
    it may call."""

    user: str
    turns: int
    results: list[str]
    tools: list[str]


def api_of(path):
    """The API that a path belongs to; None for one that is no conversation."""
    path = path.split("?")[0]
    if path.endswith("/messages"):
        return "anthropic"
    if path.endswith("/responses"):
        return "responses"
    return "gemini" if "enerateContent" in path else None


def is_streamed(path, body):
    return bool(body.get("stream")) or "streamGenerateContent" in path


def aside(api, body):
    """The text for a request without tools; Gemini asks which model suits, in JSON."""
    if api == "gemini" and body.get("generationConfig", {}).get("responseMimeType") == "application/json":
        return json.dumps({"reasoning": "x", "model_choice": "flash", "complexity_score": 1,
                           "complexity_reasoning": "x", "next_speaker": "user"})
    return "ok"


def text_of(content):
    """All text in a content of any of the APIs."""
    if isinstance(content, list):
        return "\n".join(text_of(part) for part in content)
    if isinstance(content, dict):
        keys = ("text", "content", "output", "response", "parts", "input_text", "encrypted_content")
        return "\n".join(text_of(content[key]) for key in keys if key in content)
    return "" if content is None else str(content)


# What is asked

def _read_anthropic(body):
    messages = body.get("messages", [])
    roles = [message["role"] for message in messages]
    begins = [i for i, role in enumerate(roles) if role == "assistant" and (i == 0 or roles[i - 1] != "assistant")]
    first = messages[:begins[0]] if begins else messages
    results = []
    for message in messages[begins[-1] + 1 if begins else 0:]:
        for part in message["content"] if isinstance(message["content"], list) else [message["content"]]:
            if isinstance(part, dict) and part.get("type") == "tool_result":
                results.append(("ERROR " if part.get("is_error") else "") + text_of(part.get("content")))
            elif text_of(part):
                results.append("TEXT " + text_of(part))
    tools = [tool.get("name") for tool in body.get("tools", [])]
    return Said(text_of([message.get("content") for message in first]), len(begins), results, tools)


def _read_responses(body):
    items = body.get("input", [])
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    user, turns, results, was_model = [], 0, [], False
    for item in items:
        kind, role = item.get("type", "message"), item.get("role")
        is_model = kind in _MODEL_TURN or kind == "message" and role == "assistant"
        if is_model and not was_model:
            turns, results = turns + 1, []
        was_model = is_model
        if kind.endswith("_output"):
            results.append(text_of(item.get("output")))
        elif kind == "agent_message" or kind == "message" and role == "user":
            user.append(text_of(item.get("content")))
            results.append("TEXT " + user[-1])
            if "[[SCRIPT:" in user[-1]:  # a sub-agent of Codex: before that stands a copy of its parent's conversation
                turns, was_model = 0, False
    more = [tool for item in items if item.get("type") == "additional_tools" for tool in item.get("tools", [])]
    tools = []
    for tool in [*body.get("tools", []), *more]:
        space = "" if tool.get("name") == "functions" else f"{tool.get('name')}."
        tools += ([space + inner.get("name", "") for inner in tool["tools"]] if tool.get("type") == "namespace" else
                  [tool.get("name") or tool.get("type")])
    return Said("\n".join(user), turns, results, tools)


def _read_gemini(body):
    user, turns, results = [], 0, []
    for message in body.get("contents", []):
        if message.get("role") == "model":
            turns, results = turns + 1, []
            continue
        for part in message.get("parts", []):
            if "functionResponse" in part:
                results.append(json.dumps(part["functionResponse"].get("response"), ensure_ascii=False))
            elif "text" in part:
                user.append(part["text"])
                results.append("TEXT " + part["text"])
    tools = [each.get("name") for tool in body.get("tools", []) for each in tool.get("functionDeclarations", [])]
    return Said("\n".join(user), turns, results, tools)


READ = {"anthropic": _read_anthropic, "responses": _read_responses, "gemini": _read_gemini}


# What is answered: the whole, and the events of a stream

def _write_anthropic(body, number, texts, calls):
    blocks = [*({"type": "text", "text": text} for text in texts),
              *({"type": "tool_use", "id": f"toolu_{number}{i}", "name": name, "input": given}
                for i, (name, given) in enumerate(calls))]
    reason = "tool_use" if calls else "end_turn"
    usage = {"input_tokens": 10, "output_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    whole = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": body.get("model", "fake"),
             "content": blocks, "stop_reason": reason, "stop_sequence": None, "usage": usage}
    events = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    for i, block in enumerate(blocks):
        is_text = block["type"] == "text"
        delta = ({"type": "text_delta", "text": block["text"]} if is_text else
                 {"type": "input_json_delta", "partial_json": json.dumps(block["input"])})
        empty = {**block, "text": ""} if is_text else {**block, "input": {}}
        events += [{"type": "content_block_start", "index": i, "content_block": empty},
                   {"type": "content_block_delta", "index": i, "delta": delta},
                   {"type": "content_block_stop", "index": i}]
    events += [{"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
                "usage": {"output_tokens": 10}}, {"type": "message_stop"}]
    return whole, events


def _write_responses(body, number, texts, calls):
    items = [{"type": "message", "id": f"msg_{number}_{i}", "role": "assistant", "status": "completed",
              "content": [{"type": "output_text", "text": text, "annotations": []}]} for i, text in enumerate(texts)]
    for i, (name, given) in enumerate(calls):
        space, _, plain = name.rpartition(".")
        said = ({"type": "custom_tool_call", "input": given[""]} if "" in given else
                {"type": "function_call", "arguments": json.dumps(given)})
        items.append({**said, "id": f"call_{number}_{i}", "call_id": f"call_{number}_{i}", "name": plain,
                      "status": "completed", **({"namespace": space} if space else {})})
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 10,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 20}
    whole = {"id": f"resp_{number}", "object": "response", "created_at": int(time.time()), "status": "completed",
             "model": body.get("model"), "output": items, "usage": usage}
    events = [{"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}]
    for i, item in enumerate(items):
        events += [{"type": "response.output_item.added", "output_index": i, "item": item},
                   {"type": "response.output_item.done", "output_index": i, "item": item}]
    events.append({"type": "response.completed", "response": whole})
    return whole, [{**event, "sequence_number": i} for i, event in enumerate(events)]


def _write_gemini(body, number, texts, calls):
    parts = [*({"text": text} for text in texts),
             *({"functionCall": {"name": name, "args": given, "id": f"call_{number}_{i}"}}
               for i, (name, given) in enumerate(calls))]
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}
    whole = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
             "usageMetadata": usage, "modelVersion": "fake", "responseId": f"r{number}"}
    return whole, [whole]


WRITE = {"anthropic": _write_anthropic, "responses": _write_responses, "gemini": _write_gemini}
