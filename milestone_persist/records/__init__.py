"""Milestone records: texts as files or rows."""
