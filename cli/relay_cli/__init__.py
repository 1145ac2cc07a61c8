"""The operator's command line, ``relay``: set up, see, and control a deployed relay."""
