"""Judges times of the past, afterwards."""
