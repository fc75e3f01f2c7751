"""Pages for rules, alerts, silences and notifications."""
