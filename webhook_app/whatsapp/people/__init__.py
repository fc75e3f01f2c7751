"""Meta's words for contacts, their keys and timelines, erasure."""
