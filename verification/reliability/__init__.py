"""Test the relay's guarantees under faults, and write the results to ``docs/reliability.md``."""
