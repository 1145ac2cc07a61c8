"""Tells people of alarms and of rejected posts, where they look: in a Slack, Discord or other channel."""
