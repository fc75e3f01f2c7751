"""Rows of what Meta says of accounts, numbers and templates."""
