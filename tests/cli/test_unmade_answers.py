"""What was done is said where its answer cannot be made: without memory, or without a module that is gone."""
from __future__ import annotations

import pytest

pytestmark = pytest.mark.parametrize("backend", ["hybrid"], indirect=True)
CALLS = {
    "send": (["send-agent-message", "c", "w", "x-t", "{}"], "send_agent_message is done, do not repeat it"),
    "checkpoint": (["create-agent-checkpoint", "w"], "create_agent_checkpoint is done, do not repeat it: "),
    "lock": (["acquire-milestone-lock", "ms", "--owner", "w"], "acquire_milestone_lock is done, do not repeat it: "),
    "register": (["register-agent", "n", "validation", "ms", "execution-1"],
                 "register_agent is done, do not repeat it: "),
    "take": (["get-agent-messages", "w", "true"], "nothing was taken: what is for w is in the inbox again"),
    "look": (["get-agent-messages", "w"], ""),
}


@pytest.mark.parametrize("error, why", [
    (MemoryError(), "there is not enough memory"), (ImportError("no module"), "ImportError: no module")], ids=repr)
@pytest.mark.parametrize("name", CALLS)
def test_what_was_done_is_said_where_the_answer_cannot_be_made(store, cli, monkeypatch, name, error, why):
    def fail(form):
        raise error

    store.register_agent("w", "validation", "ms", "execution-1")
    store.register_agent("c", "milestone-coordinator", "ms", "execution-1")
    store.send_agent_message("c", "w", "x-t", {"n": 1})
    words, says = CALLS[name]
    with monkeypatch.context() as patched:
        patched.setattr("milestone_persist.cli.text.find_renderer", fail)
        if name == "look":
            with pytest.raises(type(error)):  # of which the process makes a line: nothing was done
                cli(*words)
            return
        done = cli(*words)
    assert (done.status, done.text, done.err.count("\n")) == (3, "", 1)
    assert done.err.startswith(f"milestone_persist: the answer could not be made ({why}); {says}"), done
    assert [message["payload"] for message in store.get_agent_messages("w")][0] == {"n": 1}
