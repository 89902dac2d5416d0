"""`just bench`: every performance claim as a ratio against a real peer, interleaved in one run, medians."""
