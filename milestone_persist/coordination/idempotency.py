"""Idempotency keys: a call with the same key and content does nothing and returns the first result again."""
from __future__ import annotations

from ..base.errors import Refused, UsageError
from ..base.values import dump_json, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ..storage.interface import Storage

    Answer = TypeVar("Answer")


def lock_of(narrow: str, key: str | None) -> str:
    """The lock key of a transaction that calls `do_once`: with an idempotency key, such calls exclude each other."""
    return narrow if key is None else "idempotency"


def do_once(store: Storage, key: str | None, caller: str, operation: str, content: Callable[[], list[Any]],
            action: Callable[[], Answer]) -> Answer:
    """The action's result, or that of the caller's first call with this key; within a transaction under `lock_of`.

    content: what makes a call the same as another
    Refused if the content was another then, UsageError for an empty key. None is no key: the action is done.
    """
    if key is None:
        return action()
    if not key:
        raise UsageError("--key is empty: give what is the same when the call is made again")
    given = {"caller": caller, "operation": operation, "key": key, "now": store.now(), "digest": _digest(content())}
    found = store.execute("SELECT content_digest, result FROM idempotency_keys WHERE caller = :caller "
                          "AND operation = :operation AND key = :key", given)
    if not found:
        result = action()
        store.execute("INSERT INTO idempotency_keys (caller, operation, key, content_digest, result, created_at) "
                      "VALUES (:caller, :operation, :key, :digest, :result, :now)",
                      {**given, "result": dump_json(result)})
        return result
    import json

    first: Answer = json.loads(found[0]["result"])
    if found[0]["content_digest"] != given["digest"]:
        raise Refused(f"the key {key!r} was used with other content, for {name_result(first)}: nothing was done; "
                      "use another key for another call")
    return first


def name_result(result: Any) -> str:
    """The object that a call has created, by its id."""
    if "ids" in result:
        return "messages " + ", ".join(str(number) for number in result["ids"])
    for name, what in (("id", "message"), ("checkpoint_id", "checkpoint"), ("milestone_id", "milestone")):
        if name in result:
            return f"{what} {show(str(result[name]))}"
    return "something else"


def _digest(content: list[Any]) -> str:
    import hashlib
    import json

    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
