"""From a directory and an environment to an open storage, wherever its rows are by now."""
