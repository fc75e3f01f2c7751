"""Decisions about opt-outs, suppressions and checks."""
