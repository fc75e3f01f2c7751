"""The rules file: its keys, the kinds of rules, and the default rules."""
