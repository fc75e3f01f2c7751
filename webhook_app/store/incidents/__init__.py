"""Rows of rules, alerts, silences and notifications."""
