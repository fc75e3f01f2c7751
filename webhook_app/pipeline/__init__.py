"""The steps of the job. Each opens its own transactions; steps meet only in tables."""
