"""What the agents of the example compute: `python3 think.py WHAT [ARGUMENT…]`, text on stdin, text on stdout."""
import json
import os
import sqlite3
import sys

REVIEW_LINES_PER_HOUR = {".py": 300, ".sh": 300, ".sql": 300, ".md": 600}
OTHER_LINES_PER_HOUR = 900
REVIEWERS = 2


def task(directory, next_agent):
    """The payload of the scope agent's task."""
    return {"directory": directory, "next_agent": next_agent}


def hand_over(agent, key):
    """The payload that says where an artifact is."""
    return {"agent": agent, "key": key}


def note(summary):
    """The payload of a report."""
    return {"summary": summary}


def scope(directory):
    """Files and lines of a source tree: in all, by area (top-level folder) and kind, and the biggest files."""
    files = sorted(_measure(directory))
    areas = {}
    for path, kind, lines in files:
        area = areas.setdefault(path.split("/")[0] if "/" in path else ".", {"files": 0, "lines": {}})
        area["files"] += 1
        area["lines"][kind] = area["lines"].get(kind, 0) + lines
    biggest = sorted(files, key=lambda file: -file[2])[:5]
    total = sum(lines for _, _, lines in files)
    return {"directory": directory, "files": len(files), "lines": total, "areas": areas,
            "biggest": [{"file": path, "lines": lines} for path, _, lines in biggest],
            "summary": "%d files, %d lines in %d areas" % (len(files), total, len(areas))}


def _measure(directory):
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if name[0] != "." and name not in ("__pycache__", "node_modules")]
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith(".") or not os.path.isfile(path):
                continue
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError:
                continue
            if b"\0" not in data:
                shown = os.fsencode(os.path.relpath(path, directory)).decode("utf-8", "replace")
                yield shown, os.path.splitext(name)[1], data.count(b"\n") + (data[-1:] not in (b"", b"\n"))


def estimates():
    """Hours to review each area, and who of the reviewers takes it: the longest first, to the first that is free."""
    measured = json.load(sys.stdin)
    hours = {area: round(sum(lines / REVIEW_LINES_PER_HOUR.get(kind, OTHER_LINES_PER_HOUR)
                             for kind, lines in found["lines"].items()), 2)
             for area, found in measured["areas"].items()}
    load = [0.0] * REVIEWERS
    areas = []
    for area in sorted(hours, key=lambda name: (-hours[name], name)):
        reviewer = load.index(min(load))
        load[reviewer] += hours[area]
        areas.append({"area": area, "hours": hours[area], "reviewer": reviewer + 1})
    return {"areas": areas, "effort_hours": round(sum(load), 2), "elapsed_hours": round(max(load), 2),
            "summary": "%.1f hours of review, done in %.1f by %d reviewers" % (sum(load), max(load), REVIEWERS)}


def plan(measured, estimated):
    """The milestone-plan, assembled from scope and estimates."""
    measured, estimated = json.loads(measured), json.loads(estimated)
    return {"title": "Review of %s: %s" % (os.path.basename(measured["directory"]) or "/", measured["summary"]),
            "goal": "every line read once; " + estimated["summary"],
            "tasks": [{"task": "review " + item["area"], "files": measured["areas"][item["area"]]["files"], **item}
                      for item in estimated["areas"]],
            "read_first": measured["biggest"]}


def field(name):
    """One field of the first message on stdin, or of its payload."""
    messages = json.load(sys.stdin)
    if not messages:
        sys.exit("no message came in time")
    return str({**messages[0]["payload"], **messages[0]}[name])


def summary():
    """The summary that an artifact on stdin carries."""
    return json.load(sys.stdin)["summary"]


def show(database, session):
    """The rows of a session, table by table."""
    connection = sqlite3.connect(database)
    queries = {
        "coordination_sessions": "SELECT session_id, milestone_id, progress, status, agent_count "
                                 "FROM coordination_sessions WHERE session_id = ?",
        "agent_registry": "SELECT agent_id, agent_type, status FROM agent_registry WHERE session_id = ? "
                          "ORDER BY spawn_time",
        "agent_messages": "SELECT id, from_agent, to_agent, message_type, priority, acknowledged_at "
                          "FROM agent_messages WHERE session_id = ? ORDER BY id",
        "agent_state": "SELECT agent_id, state_key, version, length(state_value) AS characters FROM agent_state "
                       "JOIN agent_registry USING (agent_id) WHERE session_id = ? ORDER BY created_at",
        "agent_checkpoints": "SELECT checkpoint_id, agent_id, checkpoint_type FROM agent_checkpoints "
                             "WHERE session_id = ? ORDER BY created_at",
        "milestones": "SELECT m.id, m.title, m.status, m.file_path FROM milestones m "
                      "JOIN coordination_sessions s ON s.milestone_id = m.id WHERE s.session_id = ?",
    }
    return "\n".join(name + "\n" + _table(connection.execute(query, (session,))) for name, query in queries.items())


def _table(cursor):
    lines = [[column[0] for column in cursor.description]] + [[str(cell) for cell in row] for row in cursor]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "".join("  " + "  ".join(map(str.ljust, line, widths)).rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*sys.argv[2:])
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
