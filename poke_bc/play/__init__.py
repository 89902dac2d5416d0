"""Playing: policies and bots in battles, and what these say about strength. docs/play.md shows how."""
