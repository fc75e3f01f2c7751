"""Reads Meta's Graph API: settings of the app, accounts and numbers. It never writes and never sends a message."""
