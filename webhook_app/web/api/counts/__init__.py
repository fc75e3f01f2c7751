"""API endpoints for counts, rates and failures."""
