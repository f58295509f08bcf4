"""The engine on PostgreSQL, through psql."""
