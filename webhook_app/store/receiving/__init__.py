"""Rows of deliveries and the results of their items."""
