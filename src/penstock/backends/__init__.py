"""Backends: each runs a whole compiled pipeline somewhere."""
