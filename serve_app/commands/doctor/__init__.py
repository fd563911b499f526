"""``maskgraph doctor``: what this machine has of what the service needs."""
