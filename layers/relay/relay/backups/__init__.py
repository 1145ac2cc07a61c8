"""Firestream's backups: from a request to a verified file in the archive, and reading it."""
