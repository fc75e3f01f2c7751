"""Parses webhooks about accounts, numbers and templates."""
