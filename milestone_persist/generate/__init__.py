"""The files that are made from the table of operations."""
