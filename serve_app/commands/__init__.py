"""What the commands of ``maskgraph`` do."""
