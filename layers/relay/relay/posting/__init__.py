"""Alerts to StockTwits: from a message of a queue to its outcome."""
