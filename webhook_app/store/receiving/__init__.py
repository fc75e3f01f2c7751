"""Rows of deliveries and what became of their items."""
