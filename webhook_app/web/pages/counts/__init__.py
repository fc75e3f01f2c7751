"""Pages for counts, rates and failures."""
