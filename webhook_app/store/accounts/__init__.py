"""Rows of the state of accounts, numbers and templates."""
