"""Meta's webhook over HTTP."""
