"""Decisions about what Meta says of accounts, numbers and templates."""
