"""The operations, a module for each group; registry.MODULES names them in the order of the documents."""
