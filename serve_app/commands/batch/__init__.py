"""``maskgraph batch``: many pictures into Parquet, on Ray Data."""
