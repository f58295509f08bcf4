"""What agents are told to run has a form that a client's permission check can read, so that it runs without approval.

The forms are those that Claude Code 2.1 was seen to refuse, and to let through, where only our functions are permitted.
"""
from __future__ import annotations

import re

import pytest
from conftest import ROOT

from milestone_persist.install.agents_document import make_section
from milestone_persist.install.client_files import PERMITTED
from milestone_persist.mcp.tools import CORE, DESTRUCTIVE
from milestone_persist.registry import all_operations

FUNCTIONS = {op.name for op in all_operations() if op.shell}
HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(\w+)\1[^\n]*\n(.*?)^\2$", re.M | re.S)
APOSTROPHES = re.compile(r"'[^']*'")
QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*\"""", re.S)

# What a rule finds is refused. Rules on "bare" text see neither what stands in apostrophes nor here-documents.
ON_TEXT = {
    "a brace and a quote in a here-document": lambda text: any(
        re.search(r"{\s*[\"']", body) for *_, body in HERE_DOCUMENT.findall(text)),
    "a here-document that the shell expands": lambda text: re.search(r"<<-?\s*\w", text),
    "a line beginning with # in quotes": lambda text: any(
        "\n#" in quoted for quoted in QUOTED.findall(HERE_DOCUMENT.sub("", text))),
}
ON_BARE = {
    "a variable": r"\$\{?\w",
    "an assignment or export": r"^(export\b|[A-Za-z_]\w*=)",
    "sourcing": r"(^|[;&|]\s*)(\.|source)\s",
    "a command in quotes": r'"[^"]*(`|\$\((?!date ))',
    "a loop or condition": r"^(for|while|until|if|case)\b",
    "the background": r"(?<![&>])&(?![&>\d])",
    "an option of the shell": r"^set\s",
    "a file to write": r"(?<![\d>])>(?!&|\s*/dev/null)",
}
KNOWN = {"cat", "cd", "echo", "grep", "head", "jq", "printf", "sort", "tail", "wc"}


def faults_of(text):
    """The names of the rules that a command breaks."""
    bare = APOSTROPHES.sub("''", HERE_DOCUMENT.sub("", text))
    found = {name for name, finds in ON_TEXT.items() if finds(text)}
    found |= {name for name, pattern in ON_BARE.items() if re.search(pattern, bare, re.M)}
    if not found and not {words.split()[0] for words in commands_of(bare)} <= FUNCTIONS | KNOWN:
        found.add("a command that is none of the functions")
    return found


def commands_of(bare):
    """The simple commands of a text without variables."""
    text = re.sub(r'"[^"]*"', '""', bare.replace("\\\n", " "))
    return [part for part in re.split(r"&&|\|\|?|;|\n", re.sub(r"(^|\s)#.*", "", text)) if part.strip()]


REFUSED = {
    "a variable": ['list_agent_state "$AGENT_ID"', "list_agent_state $AGENT_ID", "echo ${AGENT_ID}"],
    "an assignment or export": ["export AGENT_ID=a-1", "AGENT_ID=a-1 list_agent_state",
                                "list_agent_state a-1\nexport AGENT_ID=a-1"],
    "sourcing": [". .claude/shared/milestone/storage-adapter.sh", "source a.md && list_agent_state a-1",
                 "command -v register_agent >/dev/null || . a.md"],
    "a brace and a quote in a here-document": ["save_agent_state a-1 k - <<'END'\n{\"a\": 1}\nEND",
                                               "save_agent_state a-1 k - <<'END'\n{\n  \"a\": 1\n}\nEND"],
    "a here-document that the shell expands": ["save_agent_state a-1 k - <<END\ntext\nEND"],
    "a line beginning with # in quotes": ["save_agent_state a-1 k 'text\n# heading'",
                                          'save_agent_state a-1 k "text\n# heading"'],
    "a command in quotes": ['save_agent_state a-1 k "$(cat README.md)"', 'save_agent_state a-1 k "`ls`"'],
    "a loop or condition": ["for a in a-1 b-1; do agent_heartbeat a-1; done",
                            "while list_agent_state a-1; do break; done"],
    "the background": ["list_agent_state a-1 &", "get_agent_messages a-1 true 1 --wait 8 & list_agent_state a-1"],
    "an option of the shell": ["set -e; list_agent_state a-1"],
    "a file to write": ["list_agent_state a-1 > out.txt"],
    "a command that is none of the functions": ["milestone_persist whoami", "python3 -m milestone_persist where",
                                                "list_agent_state a-1 | python3 -c ''", "timeout 5 list_agent_state a"],
}
PASSING = [
    "register_agent a-1 milestone-executor ms-1 execution-ms-1-1 '[\"execution\"]'",
    "initialize_agent_coordination\nlist_agent_state a-1", "initialize_agent_coordination && list_agent_state a-1",
    "list_agent_state a-1; list_agent_state b-1", "load_agent_state a-1 nope || echo none",
    "load_agent_state a-1 k | jq .summary", "list_agent_state a-1 2>&1", "list_agent_state a-1 2>/dev/null",
    'register_agent "coordinator-$(date +%s)" milestone-coordinator ms-1 planning-ms-1-1',
    "save_agent_state a-1 k '{\n  \"a\": [1, 2]\n}'", "save_agent_state a-1 k '{\"a\": \"don'\\''t\"}'",
    "send_agent_message a-1 b-1 progress_update \\\n  '{\"cost\": \"$5 `x` ${y}\"}' 8",
    "printf '%s' '{\"a\": 1}' | save_agent_state a-1 k -", "save_agent_state a-1 k - < README.md",
    "save_agent_state a-1 k - <<'END'\n# Title\nplain text, it's {curly} and \"quoted\"\nEND",
    "save_agent_state a-1 k 'cost $5; a && b | c > d & `tick` $(x)'", "get_agent_messages a-1 true 1 --wait 8",
    "# a comment\nlist_agent_state a-1  # and one behind", "load_agent_state a-1 k > /dev/null",
]


@pytest.mark.parametrize("rule, text", [(rule, text) for rule, texts in REFUSED.items() for text in texts])
def test_a_form_that_is_refused_is_found(rule, text):
    assert rule in faults_of(text)


@pytest.mark.parametrize("text", PASSING)
def test_a_form_that_passes_is_let_through(text):
    assert faults_of(text) == set()


def test_every_rule_is_seen_to_find_something():
    assert {*REFUSED} == {*ON_TEXT, *ON_BARE, "a command that is none of the functions"}


BLOCK = re.compile(r"^```(?:bash|sh)\n(.*?)^```$", re.M | re.S)


def blocks():
    """Every shell block that agents are given: of the prompts, the skill, the section for Codex and Gemini, and the
    example that the README gives of a command."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "agents").glob("*.md"))}
    texts["AGENTS.md"] = make_section()
    found = [(name, text) for name, document in texts.items() for text in BLOCK.findall(document)]
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Install\n")[2]
    return [*found, ("README.md", BLOCK.findall(section.partition("\n## ")[0])[-1])]


@pytest.mark.parametrize("name, text", blocks())
def test_a_shipped_block_needs_no_approval(name, text):
    if name in ("AGENTS.md", "README.md"):  # for shells without a hook; a prefix is permitted by its &&
        text, count = re.subn(r"^\. \.claude/shared/milestone/storage-adapter\.sh && ", "", text, flags=re.M)
        assert count == text.count("\n")
    assert faults_of(text) == set()
    assert set(map(int, re.findall(r"--wait (\d+)", text))) <= {8}  # Codex' shell leaves a call behind after ten


@pytest.mark.parametrize("name, text", blocks())
def test_ids_of_shipped_blocks_hold_the_milestone(name, text):
    ids = re.findall(r"\b(?:coordinator|planner|executor|worker|agent|planning|execution)-[\w-]*\d\b", text)
    assert [word for word in ids if "-ms-123-" not in word] == []


def permits(pattern, command):
    """Whether Claude Code lets a command run by this pattern, as it was seen to: * is any text."""
    return re.fullmatch(re.escape(pattern).replace(r"\ \*", "( .*)?").replace(r"\*", ".*"), command, re.S)


# What no agent should do unasked: change settings (one of them is a command to run), move or replace everything, write
# files where it likes, delete, end the work of others, leave a process running.
ASKED_FIRST = {"set_storage_config", "migrate_storage_backend", "import_tmp_files", "delete_agent_state",
               "delete_milestone_record", "abandon_session", "cleanup_stale_coordination", "cleanup_failed_sessions",
               "start_session_monitor", "stop_session_monitor", "backup_coordination", "restore_coordination",
               "export_coordination", "import_coordination"}


@pytest.mark.parametrize("name, text", blocks())
def test_what_shipped_blocks_run_is_permitted(name, text):
    bare = re.sub(r"^\. \S+ && ", "", APOSTROPHES.sub("''", HERE_DOCUMENT.sub("", text)), flags=re.M)
    for command in commands_of(bare):
        assert command.split()[0] in KNOWN or any(permits(pattern, command.strip()) for pattern in PERMITTED), command


def test_few_patterns_permit_what_agents_need_and_nothing_that_deletes():
    assert len(PERMITTED) <= 30 and all(re.match(r"\w+_|briefing ", pattern) for pattern in PERMITTED)
    permitted = {name for name in FUNCTIONS for pattern in PERMITTED if permits(pattern, name)}
    assert {*CORE} & {*ASKED_FIRST, *DESTRUCTIVE} == set()  # one permission lets the MCP server do all of these
    assert permitted & ASKED_FIRST == set() and ASKED_FIRST <= FUNCTIONS
    assert {*CORE} <= permitted  # what the tools may do unasked, the functions may
    assert [pattern for pattern in PERMITTED if not any(permits(pattern, name) for name in FUNCTIONS)] == []
