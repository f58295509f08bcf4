"""The MCP server: the operations as tools of a client that speaks the Model Context Protocol, over stdin and stdout."""
