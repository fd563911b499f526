"""The service's own protocol: ``POST /analyze``."""
