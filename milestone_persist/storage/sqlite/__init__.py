"""The engine on SQLite: a file, or memory."""
