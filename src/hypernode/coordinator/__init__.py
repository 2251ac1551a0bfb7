"""The coordinator process: one ASGI application and its loops, composed of the rooms."""
