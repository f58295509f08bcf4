"""Hooks: called by an agent's client when a conversation starts, stops, ends or is compacted."""
