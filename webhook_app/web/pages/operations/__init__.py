"""Pages for keys, audit, retention, backtests and the state of the service."""
