"""Failures as rows: their columns, filters and the search."""
