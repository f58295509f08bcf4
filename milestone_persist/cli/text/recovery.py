"""The text of the recovery operations. The last line is what to run next."""
from __future__ import annotations

from ...base.quoting import command
from ...base.values import tell_count
from ...coordination.deliverables import tell_flaw, tell_near
from .forms import count, counted, milestone, plain, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...storage.interface import Row

BESIDE = "get_session_status"  # the first of the help that is of another group
HEADS = ("Session ID", "Milestone", "Operation", "Inactive (min)", "Agents", "Active", "Failed")


def interrupted(data: list[Row]) -> str:
    if not data:
        return "no interrupted sessions\n"
    rows = [(plain(row["session_id"]), plain(row["milestone_id"]), plain(row["operation_type"]),
             f"{row['minutes_inactive']:.0f}", str(row["agents"]), str(row["active"]), str(row["failed"]))
            for row in data]
    widths = [max(len(line[i]) for line in [HEADS, *rows]) for i in range(len(HEADS))]
    lines = [" | ".join(head.ljust(width) for head, width in zip(HEADS, widths)).rstrip(),
             "-|-".join("-" * width for width in widths)]
    lines += [" | ".join(cell.ljust(width) if column < 3 else cell.rjust(width)
                         for column, (cell, width) in enumerate(zip(row, widths))) for row in rows]
    lines += ["", "Run next, to see what can be done:"]
    lines += ["  " + command(["recover_milestone_session", row["session_id"]]) for row in data]
    return "\n".join(lines) + "\n"


def recovery(data: Row) -> str:
    counts, letters = data["counts"], data["dead_letters"]
    lines = [f"Session {plain(data['session_id'])}: {plain(data['operation_type'])} of {plain(data['milestone_id'])}, "
             f"{plain(data['status'])}, inactive for {data['minutes_inactive']:g} min",
             f"Progress: {data['progress']:g} % reported, {data['estimated_progress']:g} % estimated",
             _agent_counts(counts)]
    if data["agents"]:
        text = table(("agent", "type", "status", "condition", "heartbeat (min ago)", "unacknowledged"), [
            (row["agent_id"], row["agent_type"], row["status"], row["condition"], row["minutes_since_heartbeat"],
             tell_count(row, "unread_messages")) for row in data["agents"]])
        lines += ["  " + line for line in text.splitlines()]
    lines += _deliverables(data)
    more = {word: "+" * (f"messages.{word}" in data["at_least"]) for word in data["messages"]}
    waiting = ((data["messages"]["pending"], f"{more['pending']} pending"),
               (len(data["taken"]), f"{more['taken']} taken but unacknowledged"),
               (len(letters), f"{more['dead']} dead letters"))
    lines.append("Messages: " + (", ".join(f"{number}{what}" for number, what in waiting if number) or "none"))
    lines += [f"  dead letter {row['id']}: {plain(row['message_type'])} for {plain(row['to_agent'])}"
              for row in letters]
    last = data["last_checkpoint"]
    lines.append("Last checkpoint: " + (f"{plain(last['checkpoint_id'])} of {plain(last['agent_id'])}, "
                                        f"{last['minutes_ago']:g} min ago" if last else "none"))
    if data.get("other_interrupted"):
        lines.append("Also interrupted: " + " ".join(plain(name) for name in data["other_interrupted"]))
    lines += [plain(data["verdict"]), "Options:"]
    for number, option in enumerate(data["options"], 1):
        lines += [f"  {number}. {plain(option['label'])}", "     " + command(option["command"])]
    return "\n".join(lines) + "\n"


def _agent_counts(counts: Row) -> str:
    """How many agents there are, in total and in each condition."""
    shown = [f"{count} {word}" for word, count in counts.items() if count and word not in ("agents", "recoverable")]
    return f"Agents: {', '.join(shown) or 'none'}; {counts['recoverable']} recoverable"


def _deliverables(data: Row) -> list[str]:
    if not data["deliverables"]:
        return []
    planning = data["operation_type"] == "planning"
    lines = ["Artifacts:" if planning else "Phases:"]
    for item in data["deliverables"]:
        weight = "" if planning else f" ({item['weight']} %)"
        saved = ", ".join(plain(row["agent_id"] if planning else f"{row['state_key']} of {row['agent_id']}")
                          for row in item["saved"])
        word = "present" if saved else item["empty"][-1]["flaw"] if item["empty"] else "missing"
        lines.append(f"  {word}: {plain(item['name'])}{weight}" + (f", by {saved}" if saved else ""))
        lines += [f"    no result: {tell_flaw(row)}" for row in item["empty"]]
        lines += [f"    {tell_near(row)}" for row in item["near"]]
    makers: dict[str, list[str]] = {}
    for row in data["more"]:
        makers.setdefault(row["state_key"], []).append(plain(row["agent_id"]))
    return lines + [f"  present beside these: {plain(key)}, by {', '.join(agents)}" for key, agents in makers.items()]


def work_orders(data: Row) -> str:
    lines = [f"session {plain(data['session_id'])} is active"]
    for word, key in (("marked failed", "marked_failed"), ("ended", "ended")):
        if data[key]:
            lines.append(f"{word}: " + " ".join(plain(name) for name in data[key]))
    if data["returned"] or data["dead_lettered"]:
        lines.append(f"messages requeued: {data['returned']}, dead letters: {data['dead_lettered']}")
    orders = data["orders"]
    if not orders:
        lines.append("no agents to start")
    elif data["spawn_command"]:
        lines.append(f"Work orders ({len(orders)}), handed to agent_spawn_command:")
    else:
        lines.append(f"Work orders ({len(orders)}). Nothing was started: start these agents yourself.")
    for number, order in enumerate(orders, 1):
        lines += _order(number, order)
    lines += ["Run next, when they are done:", "  " + command(["recover_milestone_session", data["session_id"]])]
    return "\n".join(lines) + "\n"


def _order(number: int, order: Row) -> list[str]:
    lines = [f"{number}. start {plain(order['agent_type'])} as {plain(order['agent_id'])} ({plain(order['why'])})"]
    if "result" in order:
        lines.append(f"   agent_spawn_command: {plain(order['result'])}")
    lines.append("   it begins with: " + command(["register_agent", order["agent_id"], order["agent_type"],
                                                  order["milestone_id"], order["session_id"]]))
    if order["makes"]:
        lines.append("   it makes: " + command(["save_agent_state", order["agent_id"], order["save_as"]]) + " VALUE")
    found = [f"state {' '.join(plain(key) for key in order['state_keys'])}"] if order["state_keys"] else []
    found += [f"checkpoint {plain(order['checkpoint'])}"] if order["checkpoint"] else []
    found += [f"{tell_count(order, 'unread_messages')} unread message{'s' * (order['unread_messages'] != 1)}"
              ] if order["unread_messages"] else []
    return lines + (["   it finds: " + "; ".join(found)] if found else [])


def validated(data: Row) -> str:
    lines = [f"{word}: {' '.join(plain(key) for key in data[word])}" for word in ("present", "missing", "empty")
             if data[word]]
    for item in data["deliverables"]:
        lines += [f"no result: {tell_flaw(row)}" for row in item["empty"]] + [tell_near(row) for row in item["near"]]
    return "\n".join([*lines, "valid" if data["valid"] else "not valid"]) + "\n"


def finished(data: Row) -> str:
    how = "is" if data["changed"] else "is already"
    lines = [f"session {plain(data['session_id'])} {how} {plain(data['status'])}"]
    lines += _assembled(data)
    if data["status"] == "completed" and data["operation_type"] == "planning":
        lines += ["Run next:", "  " + command(["recover_milestone_session", data["session_id"]])]
    elif data["operation_type"] == "execution" and data["status"] == "completed":
        lines += ["Run next:", "  " + command(["generate_milestone_report", data["session_id"]])]
    return "\n".join(lines) + "\n"


def _assembled(data: Row) -> list[str]:
    keys = data.get("assembled_from")
    return [f"milestone-plan was assembled from: {' '.join(plain(key) for key in keys)}"] if keys else []


def milestone_recovered(data: Row) -> str:
    return "\n".join([*_assembled(data), milestone(data)])


def recovery_status(data: Row) -> str:
    lines = [f"{name}: " + ", ".join(f"{number} {plain(word)}" for word, number in counted(data, name).items())
             for name in ("sessions", "agents", "messages")]
    lines.append(f"checkpoints: {tell_count(data, 'checkpoints')}")
    lines.append(f"interrupted sessions: {len(data['interrupted'])}")
    if data["interrupted"]:
        lines.append("Run next, to see what can be done:")
    lines += ["  " + command(["recover_milestone_session", name]) for name in data["interrupted"]]
    return "\n".join(lines) + "\n"


def recovery_help(data: list[Row]) -> str:
    lines = ["Begin with detect_interrupted_sessions; it prints what to run next."]
    for row in data:
        if row["name"] == BESIDE:
            lines.append("What else helps:")
        lines += [f"  {row['name']} {row['usage']}".rstrip(), f"      {row['summary']}"]
    return "\n".join(lines) + "\n"


def cleaned_stale(data: Row) -> str:
    lines = [f"marked failed: {' '.join(plain(name) for name in data['marked_failed']) or 'none'}",
             f"messages requeued: {data['returned']}, dead letters: {data['dead_lettered']}",
             "removed: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in data["removed"].items())]
    return "\n".join(lines) + "\n"


def cleaned_failed(data: Row) -> str:
    lines = [f"failed, for all their agents are dead: {' '.join(plain(name) for name in data['failed'])}"
             ] if data["failed"] else []
    lines += [f"removed {len(data['removed'])} sessions: {' '.join(plain(name) for name in data['removed']) or 'none'}"]
    if data["kept"]:
        lines.append(f"kept, for they hold finished work: {' '.join(plain(name) for name in data['kept'])}")
    if data["messages_lost"]:
        lines.append(f"deleted with them: {count(data['messages_lost'], 'unread message')}")
    return "\n".join(lines) + "\n"
