"""StockTwits Relay: alerts from an SQS queue to StockTwits, each exactly once, at the pace its owner chose."""

__version__ = "0.1.0"
