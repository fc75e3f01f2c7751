"""Normalises contacts, links their keys, and recognises STOP and START words."""
