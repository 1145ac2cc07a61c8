"""The relay in simulated time: its own code, in a world that fails as the real one does."""
