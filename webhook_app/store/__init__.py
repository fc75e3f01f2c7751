"""Rows in, rows out: functions that take a connection. Never commits, never decides."""
