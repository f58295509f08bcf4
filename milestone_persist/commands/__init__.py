"""Declared operations that need no open store."""
