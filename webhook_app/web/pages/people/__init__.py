"""Pages for contacts, their keys and timelines, erasure."""
