"""All rows at once: to another backend, or to and from a file."""
