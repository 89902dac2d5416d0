"""Playing: policies and bots in the simulator or on a server, battle by battle. docs/play.md shows how."""
