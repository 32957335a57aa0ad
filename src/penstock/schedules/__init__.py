"""Runs that begin by themselves: at times of the clock, on one machine by a small service."""
