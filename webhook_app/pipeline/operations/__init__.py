"""Steps for retention, backtests and the heartbeat."""
