"""What a storage is: the interface, its directory, and what every engine shares."""
