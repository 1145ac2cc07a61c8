"""The relay in simulated time: its real code, with in-memory services that fail as the real ones do."""
