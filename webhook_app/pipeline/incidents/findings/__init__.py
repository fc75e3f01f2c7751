"""Finds states that last, and announces them apart from incidents."""
