"""Finds the groups of each rule and judges them, one function per kind of rule."""
