"""Playing: policies and bots in the simulator or on a server, and what battles say about strength. See docs/play.md."""
