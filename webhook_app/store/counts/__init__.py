"""Rows of counts, rates and failures."""
