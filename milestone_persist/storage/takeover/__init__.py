"""Databases of the earlier shell tool, brought into the present form."""
