"""Connections to the servers of channels, with limits on the time and size of what these send."""
