"""Reading what the archive holds; `relay.reading` has the shapes of its lines."""

from relay.backups.reader import read_backup

__all__ = ["read_backup"]
