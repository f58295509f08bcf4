"""Pages that show people what the agents of a session do."""
