"""The clients: how each is installed, called, kept from the network and from the user's own files, and trusted."""
from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from model import Step

BASE = Path(os.environ.get("CLIENTS_DIR") or Path.home() / "real-clients").resolve()
PREFIXES = ("mcp__milestone__", "mcp__plugin_milestone_milestone__")  # of tools in Claude Code: installed, plugin
PROGRAMS = BASE / "npm" / "node_modules" / ".bin"


class Client:
    """A client of agents; a subclass for each.

    name: its program
    skills: where in a project it finds skills
    has_hooks: whether it runs commands of ours at events
    """

    name = title = package = skills = ""
    has_hooks = True

    @property
    def version(self):
        """The version that is installed; "" if it is not. Its program is not run: each run writes into a home."""
        try:
            return json.loads((BASE / "npm" / "node_modules" / self.package / "package.json").read_text())["version"]
        except OSError:
            return ""

    def environ(self, url):
        """The variables that send it to the model server, and nowhere else."""
        raise NotImplementedError

    def words(self, url, prompt, options):
        """Its command line for one prompt, without a person."""
        raise NotImplementedError

    # What lets it go on with its latest conversation in a folder.
    resuming: tuple[str, ...] = ("--continue",)

    def make_home(self, home):
        """Write into a new home what a first run asks a person."""

    def prepare(self, tools):
        """The steps with which a model loads tools of our MCP server before it calls them."""
        return []

    def trust(self, home, project):
        """Do what a person does who trusts a project."""


class Claude(Client):
    name, title, package, skills = "claude", "Claude Code", "@anthropic-ai/claude-code", ".claude/skills"

    def environ(self, url):
        return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "dummy", "DISABLE_TELEMETRY": "1",
                "DISABLE_ERROR_REPORTING": "1", "DISABLE_AUTOUPDATER": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}

    def words(self, url, prompt, options):
        return ["claude", *options, "-p", prompt]

    def prepare(self, tools):
        names = [prefix + name for name in sorted({*tools}) for prefix in PREFIXES]
        return [Step(tool="ToolSearch", given={"query": f"select:{','.join(names)}"})] if names else []

    def make_home(self, home):
        self._note(home, {"hasCompletedOnboarding": True, "theme": "dark",
                          "customApiKeyResponses": {"approved": ["dummy"], "rejected": []}})

    def trust(self, home, project):
        self._note(home, {"projects": {str(project): {"hasTrustDialogAccepted": True}}})

    @staticmethod
    def _note(home, more):
        path = home / ".claude.json"
        data = json.loads(path.read_text()) if path.exists() else {}
        projects = {**data.get("projects", {}), **more.pop("projects", {})}
        path.write_text(json.dumps({**data, **more, "projects": projects}))


class Codex(Client):
    name, title, package, skills = "codex", "Codex", "@openai/codex", ".agents/skills"
    resuming = ("resume", "--last")

    def environ(self, url):
        return {"OPENAI_API_KEY": "dummy", "FAKE_KEY": "dummy"}

    def words(self, url, prompt, options):
        provider = {"model_provider": "fake", "model_providers.fake.name": "fake",
                    "model_providers.fake.base_url": f"{url}/v1", "model_providers.fake.wire_api": "responses",
                    "model_providers.fake.env_key": "FAKE_KEY"}
        settings = [f"{key}={json.dumps(value)}" for key, value in provider.items()]
        settings += ["analytics.enabled=false", "check_for_update_on_startup=false"]
        sandbox = [] if "--sandbox" in options else ["--sandbox", "workspace-write"]
        return ["codex", *(word for setting in settings for word in ("-c", setting)), "exec", *sandbox,
                "--skip-git-repo-check", *options, prompt]

    def make_home(self, home):
        (home / ".codex").mkdir()

    def trust(self, home, project):
        path, table = home / ".codex" / "config.toml", f"[projects.{json.dumps(str(project))}]\n"
        text = path.read_text() if path.exists() else ""
        if table not in text:
            path.write_text(f"{text}\n{table}trust_level = \"trusted\"\n")

    def trust_hooks(self, home, project):
        """Do what a person does who trusts all hooks of a project as they are now."""
        file, state = project / ".codex" / "hooks.json", ""
        for event, groups in json.loads(file.read_text())["hooks"].items():
            name = re.sub("(?<=[a-z])(?=[A-Z])", "_", event).lower()
            for place, group in enumerate(groups):
                for number, hook in enumerate(group["hooks"]):
                    seconds = min(hook.get("timeout", 600), 3 if name == "session_end" else 600)
                    what = {"event_name": name, "hooks": [{"async": False, "timeout": seconds, **hook,
                                                           **({"timeout": seconds} if "timeout" in hook else {})}]}
                    text = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                    state += (f"\n[hooks.state.{json.dumps(f'{file}:{name}:{place}:{number}')}]\ntrusted_hash = "
                              f'"sha256:{hashlib.sha256(text.encode()).hexdigest()}"\n')
        path = home / ".codex" / "config.toml"
        before = path.read_text() if path.exists() else ""
        path.write_text(re.sub(r"\n\[hooks\.state\.[^\n]*\n[^\n]*\n", "", before) + state)


class Gemini(Client):
    name, title, package, skills = "gemini", "Gemini CLI", "@google/gemini-cli", ".agents/skills"
    resuming = ("--resume", "latest")

    def environ(self, url):
        return {"GEMINI_API_KEY": "dummy", "GOOGLE_GEMINI_BASE_URL": url, "GEMINI_TELEMETRY_ENABLED": "false"}

    def words(self, url, prompt, options):
        return ["gemini", "--yolo", *options, "-p", prompt]

    def make_home(self, home):
        (home / ".gemini").mkdir()
        (home / ".gemini" / "settings.json").write_text(json.dumps({
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
            "privacy": {"usageStatisticsEnabled": False}, "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False}}))


class OpenCode(Client):
    name, title, package, skills = "opencode", "OpenCode", "opencode-ai", ".agents/skills"
    has_hooks = False

    def environ(self, url):
        model = {"name": "fake", "limit": {"context": 200000, "output": 8000}}
        provider = {"npm": "@ai-sdk/anthropic", "name": "fake", "models": {"fake": model},
                    "options": {"baseURL": f"{url}/v1", "apiKey": "dummy"}}
        settings = {"provider": {"fake": provider}, "model": "fake/fake", "small_model": "fake/fake",
                    "autoupdate": False, "share": "disabled"}
        return {"OPENCODE_CONFIG_CONTENT": json.dumps(settings), "OPENCODE_DISABLE_MODELS_FETCH": "1",
                "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"}

    def words(self, url, prompt, options):
        return ["opencode", "run", *options, prompt]


CLIENTS = {client.name: client for client in (Claude(), Codex(), Gemini(), OpenCode())}
