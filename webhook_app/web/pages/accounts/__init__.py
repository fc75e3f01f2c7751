"""Pages for the state of accounts, numbers and templates."""
