"""Decisions about messages that are sent again."""
