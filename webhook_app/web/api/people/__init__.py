"""API endpoints for contacts, their keys and timelines, erasure."""
