"""HTTP in, HTTP out. Decisions and SQL live below."""
