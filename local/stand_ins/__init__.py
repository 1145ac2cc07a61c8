"""Stand-ins on loopback of the services that the relay talks to."""
