"""Words, values, times and names that every room uses; nothing here knows of a store."""
__version__ = "0.1.0"
is_program = False  # whether this process is our program, and none that imports the package
