"""A simulated Meta: signs, batches, repeats and reorders webhooks. It does not know the tables of the service."""
