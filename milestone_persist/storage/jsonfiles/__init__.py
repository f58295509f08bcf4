"""The engine on JSON files."""
