"""Steps for contacts, their keys and timelines, erasure."""
