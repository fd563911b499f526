"""The networks, how their checkpoints are read, and the embedded weights."""
