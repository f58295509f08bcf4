"""What agents need in their project."""
