"""Pages for opt-outs, suppressions and checks."""
