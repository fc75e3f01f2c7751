"""What we decide: values and `now` in, a verdict with its reason out. No I/O, no clock, no settings."""
