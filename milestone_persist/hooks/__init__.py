"""Hooks: what a client of agents calls when a conversation begins, stops, ends or is cut."""
