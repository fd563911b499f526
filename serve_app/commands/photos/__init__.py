"""What ``maskgraph analyze`` and ``maskgraph predict`` share: from paths to lines, drawings and a summary."""
