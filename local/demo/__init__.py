"""``make demo``: the relay at work on this machine."""
