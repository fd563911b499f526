"""What fuzz.py runs: a table of targets, each with valid inputs to start from and a check of one input."""
