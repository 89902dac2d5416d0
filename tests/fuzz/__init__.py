"""`python -m tests.fuzz MINUTES`: looks for a text that the scanner and the exact reader read differently."""
