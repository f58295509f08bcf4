"""What a storage is: the interface, the directory it lies in, and what every engine shares."""
