"""Verifies, redacts and parses webhook deliveries."""
