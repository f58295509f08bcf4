"""The operations on an open store, one module for each group; each function is its own declaration."""
