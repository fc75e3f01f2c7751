"""Meta's words for what Meta says of accounts, numbers and templates."""
