"""API endpoints for rules, alerts, silences and notifications."""
