"""Checkpoint files read as data, whoever wrote them; the cache of those that came by URL."""
