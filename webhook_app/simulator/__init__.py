"""A Meta of our own: signs, batches, repeats and reorders webhooks. Knows nothing of our tables."""
