"""The catalogue of Meta's error codes, and when to retry."""
