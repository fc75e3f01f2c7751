"""The one door to Postgres: connections, arrays, partitions, locks."""
