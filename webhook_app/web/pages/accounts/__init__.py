"""Pages for what Meta says of accounts, numbers and templates."""
