"""Roboflow's inference server."""
