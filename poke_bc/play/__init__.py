"""Playing: policies and bots in the simulator, battle by battle. docs/play.md shows how."""
