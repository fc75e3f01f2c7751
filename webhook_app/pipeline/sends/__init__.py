"""Steps for what senders report of their calls."""
