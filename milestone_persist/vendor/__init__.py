"""Copies of the program."""
