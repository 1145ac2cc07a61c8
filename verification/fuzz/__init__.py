"""Input that nobody would send, and what must hold of it all the same."""
