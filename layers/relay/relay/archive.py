"""Reading what the archive holds; `relay.reading` has the shapes of its lines."""

from relay.backups.reader import BadLine, read_backup

__all__ = ["BadLine", "read_backup"]
