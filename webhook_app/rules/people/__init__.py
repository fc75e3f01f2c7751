"""Which keys belong to one person. Decisions without I/O."""
