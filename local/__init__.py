"""The whole stack on one machine: stand-ins of the services that the relay talks to, and the demo."""
