"""Vocabularies, values, times and names that every room uses; nothing here knows about stores."""
__version__ = "0.1.0"
is_program = False  # whether this process runs our program, rather than importing the package
