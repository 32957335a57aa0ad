"""Beam runner profiles: an environment's `runner` turned into Beam's pipeline options."""
