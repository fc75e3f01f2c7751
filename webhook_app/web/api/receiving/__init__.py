"""API endpoints for received items: the books and the quarantine."""
