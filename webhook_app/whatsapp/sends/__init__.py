"""Meta's words for what senders report of their calls."""
