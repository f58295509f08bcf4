"""Words, values, times and names that every room uses; nothing here knows of a store."""
__version__ = "0.1.0"
