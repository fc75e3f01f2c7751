"""Steps for deliveries: storing, replaying."""
