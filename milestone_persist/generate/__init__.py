"""The files generated from the table of operations."""
