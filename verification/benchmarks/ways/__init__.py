"""Ways to store and to read a backup, one module each."""
