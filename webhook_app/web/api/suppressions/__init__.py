"""API endpoints for opt-outs, suppressions and checks."""
