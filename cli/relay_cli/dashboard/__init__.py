"""``relay dashboard``: a page on this machine, for its owner alone."""
