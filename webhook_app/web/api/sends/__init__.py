"""API endpoints for what senders report of their calls."""
