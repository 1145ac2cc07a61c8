"""Proof of what the relay promises, measured; writes ``docs/reliability.md``."""
