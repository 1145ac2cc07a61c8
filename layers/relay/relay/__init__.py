"""StockTwits Relay: alerts from an SQS queue to StockTwits, each at most once, at the pace its owner chose."""

__version__ = "0.1.0"
