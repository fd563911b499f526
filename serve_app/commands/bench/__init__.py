"""``maskgraph bench``: load on a service, and the generators of load, which the benchmarks use too."""
