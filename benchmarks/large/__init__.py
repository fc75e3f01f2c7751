"""`python -m benchmarks.large`: HTTP requests to the service with 30 million events in its database."""
