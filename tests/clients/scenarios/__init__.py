"""The scenarios: each plays some clients on projects of its own, and reports what was seen."""
from . import hooks, mcp, parallel, plugins, removal, sandboxes, shell, together, vendored

OF_SEVERAL = ("together", "mcp-together")  # the rest see each client for itself
SCENARIOS = {
    "blocks": shell.blocks,
    "functions": shell.functions,
    "places": shell.places,
    "waiting": shell.waiting,
    "together": together.by_shell,
    "mcp": mcp.tools,
    "mcp-waiting": mcp.waiting,
    "mcp-together": together.by_mcp,
    "briefing": hooks.briefing,
    "unread": hooks.unread,
    "ends": hooks.ends,
    "parallel": parallel.sub_agents,
    "sandboxes": sandboxes.work,
    "uninstall": removal.uninstall,
    "vendored": vendored.all_ways,
    "plugins": plugins.used,
}
