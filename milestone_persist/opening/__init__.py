"""Turns a directory and an environment into an open storage, wherever its rows are now."""
