"""API endpoints for deliveries and what became of their items."""
