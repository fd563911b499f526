"""``maskgraph serve``: a Serve config on this machine, from its check to a clean stop."""
