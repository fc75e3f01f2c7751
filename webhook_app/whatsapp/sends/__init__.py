"""Parses and redacts the API calls that senders report."""
