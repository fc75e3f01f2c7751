"""Reads Meta's view of our accounts and stores the checks of doctor."""
