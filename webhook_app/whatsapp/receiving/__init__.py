"""Meta's words for deliveries and what became of their items."""
