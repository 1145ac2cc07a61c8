"""``relay dashboard``: a web page on this machine, protected by a secret address."""
