"""The operator's command line, ``relay``: set up, see, and steer a deployed relay."""
