"""Steps for opt-outs, suppressions and checks."""
