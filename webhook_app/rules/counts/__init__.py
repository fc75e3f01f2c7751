"""Decisions about counts, rates and failures."""
