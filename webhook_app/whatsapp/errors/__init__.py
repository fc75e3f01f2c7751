"""The catalogue of Meta's error codes, and retry advice."""
