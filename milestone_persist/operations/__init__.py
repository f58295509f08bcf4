"""The operations on an open store, a module for each group; the declarations are in the functions."""
