"""Rows of contacts, their keys and timelines, erasure."""
