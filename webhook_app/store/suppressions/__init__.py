"""Rows of opt-outs, suppressions and checks."""
