"""Plays outages and healthy traffic in simulated time, and reports what the rules say of them."""
