"""The webhook: an address that any program can POST an alert to."""
