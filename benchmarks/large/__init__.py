"""`python -m benchmarks.large`: the service asked over HTTP, with 30 million events behind it."""
