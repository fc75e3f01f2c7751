"""Benchmarks: the service compared with other implementations, and its speed with much data."""
