"""The measurements of `make bench`; the results are in ``docs/benchmarks.md``."""
