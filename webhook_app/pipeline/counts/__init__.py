"""Steps for counts, rates and failures."""
