"""The whole stack on one machine: the stand-ins of the services that the relay calls, the demo, and the tools."""
