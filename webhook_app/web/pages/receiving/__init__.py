"""Pages for deliveries and the results of their items."""
