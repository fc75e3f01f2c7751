"""Rows of what senders report of their calls."""
