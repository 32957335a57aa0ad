"""Penstock: production machine-learning pipelines on TensorFlow Extended."""

__version__ = "0.1.0"
