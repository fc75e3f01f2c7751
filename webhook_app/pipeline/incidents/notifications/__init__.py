"""Sends the notifications of incidents to their channels, and reroutes what a channel cannot deliver."""
