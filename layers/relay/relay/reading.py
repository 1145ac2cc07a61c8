"""The shapes of a backup's lines, to read them with `relay.archive.read_backup`."""

from relay.backups.reader import Entities, Message, Sentiment, Symbol, User, read_backup

__all__ = ["Entities", "Message", "Sentiment", "Symbol", "User", "read_backup"]
