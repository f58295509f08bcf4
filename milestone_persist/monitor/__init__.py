"""The session monitor."""
