"""Decisions about rules, alerts, silences and notifications."""
