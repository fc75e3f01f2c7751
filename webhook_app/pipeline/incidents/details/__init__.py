"""Describes alerts and incidents: what is stored with them besides their figures."""
