"""Steps of a check: reading what is stored about the contacts, and claiming probes."""
