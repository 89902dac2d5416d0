"""What each line of the protocol does to the battle: one function per kind of line, grouped by subject."""
