"""Decisions about the state of accounts, numbers and templates."""
