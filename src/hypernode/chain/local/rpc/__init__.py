"""The JSON-RPC interface: one module for each kind of thing that is asked about."""
