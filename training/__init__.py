"""How the embedded weights were made: one command a model."""
