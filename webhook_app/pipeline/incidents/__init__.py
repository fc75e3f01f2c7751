"""Steps for rules, alerts, silences and notifications."""
