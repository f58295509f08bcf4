"""The scenarios: each plays some clients on projects of its own, and reports what was seen."""
from . import shell, together

SCENARIOS = {
    "blocks": shell.blocks,
    "functions": shell.functions,
    "places": shell.places,
    "waiting": shell.waiting,
    "together": together.by_shell,
}
