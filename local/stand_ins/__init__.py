"""Stand-ins on loopback for the services that the relay calls."""
