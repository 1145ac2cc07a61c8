"""What `make bench` measures; the results are in ``docs/benchmarks.md``."""
