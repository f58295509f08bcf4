"""Converts databases of the earlier shell tool to the present schema."""
